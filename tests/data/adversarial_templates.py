"""The templates of the adversarial pairs, by language and kind."""

from __future__ import annotations

from collections.abc import Iterator

Pairs = list[tuple[str, str]]


def _swap(templates: list[str], values: list[tuple[str, str]]) -> Pairs:
    """Each template with each of two values in its place."""
    return [(t.format(a), t.format(b)) for t in templates for a, b in values]


def _sides(text: str) -> Pairs:
    """Lines of `one | other`."""
    return [tuple(part.strip() for part in line.split("|")) for line in text.strip().splitlines()]  # type: ignore[misc] # two parts a line


EN_NEGATION = _sides("""
Which foods are safe during pregnancy? | Which foods are not safe during pregnancy?
Can I take ibuprofen with alcohol? | Can't I take ibuprofen with alcohol?
List the countries that have nuclear weapons. | List the countries that have no nuclear weapons.
Why did the payment go through? | Why did the payment not go through?
Is it legal to record a phone call? | Is it illegal to record a phone call?
How do I enable dark mode? | How do I disable dark mode?
Turn the lights on. | Turn the lights off.
How do I opt in to marketing emails? | How do I opt out of marketing emails?
Show me invoices that are paid. | Show me invoices that are unpaid.
Which users are active? | Which users are inactive?
What are the advantages of solar power? | What are the disadvantages of solar power?
Is the reaction reversible? | Is the reaction irreversible?
How to lock the front door remotely | How to unlock the front door remotely
How can I subscribe to the newsletter? | How can I unsubscribe from the newsletter?
What makes people happy? | What makes people unhappy?
Which drugs increase blood pressure? | Which drugs decrease blood pressure?
How do I increase the font size? | How do I reduce the font size?
Does the contract allow remote work? | Does the contract forbid remote work?
Which mushrooms are edible? | Which mushrooms are inedible?
What happens if I accept the offer? | What happens if I reject the offer?
Who won the final? | Who lost the final?
Should I always wear a helmet? | Should I never wear a helmet?
Is everyone allowed to vote? | Is nobody allowed to vote?
Do all birds fly? | Do no birds fly?
Do all birds fly? | Do some birds fly?
Can I travel with a visa? | Can I travel without a visa?
The update fixed the bug. Summarise this. | The update never fixed the bug. Summarise this.
Which files were changed? | Which files weren't changed?
Has the parcel been delivered? | Hasn't the parcel been delivered?
Translate: he likes her cooking. | Translate: he dislikes her cooking.
Is the switch open? | Is the switch closed?
When does the museum open? | When does the museum close?
How do I connect to the VPN? | How do I disconnect from the VPN?
What should I do before surgery? | What should I do after surgery?
What should I eat before a run? | What should I eat during a run?
Which stocks went up today? | Which stocks went down today?
Who is older, Anna or Tom? | Who is younger, Anna or Tom?
What is the cheapest plan? | What is the most expensive plan?
What is the highest mountain in Spain? | What is the lowest mountain in Spain?
How do I import contacts? | How do I export contacts?
How do I upload a file? | How do I download a file?
Is the statement true? | Is the statement false?
Which values are above the limit? | Which values are below the limit?
How do I zoom in? | How do I zoom out?
How do I encrypt a drive? | How do I decrypt a drive?
How do I mute the chat? | How do I unmute the chat?
Which students passed the exam? | Which students failed the exam?
Who was hired in March? | Who was fired in March?
Is the review positive? | Is the review negative?
Is the liquid hot or merely warm? | Is the liquid cold or merely warm?
""")

EN_NUMBER = _swap(
    [
        "What is {} percent of 80?",
        "Is {} a prime number?",
        "Convert {} miles to kilometres.",
        "List the top {} films of the decade.",
        "How many calories are in {} eggs?",
        "Write a summary in {} sentences.",
        "What happened in {} days after the treaty?",
        "Set a timer for {} minutes.",
        "What is the tax on {} dollars?",
        "Is a dose of {} mg safe for adults?",
        "Who was the president in chapter {}?",
        "What is the speed limit of {} km/h in force for?",
    ],
    [
        ("5", "50"),
        ("12", "21"),
        ("seven", "eleven"),
        ("3", "thirteen"),
        ("1,500", "15,000"),
        ("2.5", "25"),
        ("8", "9"),
        ("forty", "fourteen"),
        ("100", "1000"),
    ],
) + _sides("""
What happened in 1914? | What happened in 1941?
Who won the world cup in 2014? | Who won the world cup in 2018?
What is the population of Norway in 2020? | What is the population of Norway in 2002?
Set an alarm for 7 am. | Set an alarm for 7 pm.
Set an alarm for 7:30. | Set an alarm for 7:13.
Is the meeting on the 3rd of May? | Is the meeting on the 5th of May?
Who was the first man on the moon? | Who was the second man on the moon?
What is 15 times 4? | What is 4 times 51?
What is 10 minus 3? | What is 3 minus 10?
Divide 8 by 2. | Divide 2 by 8.
The fare went from 5 to 10 euros. Why? | The fare went from 10 to 5 euros. Why?
How far is 10 km on foot? | How far is 10 miles on foot?
How heavy is 3 kg of flour? | How heavy is 3 g of flour?
Is 30 degrees Celsius warm? | Is 30 degrees Fahrenheit warm?
Does it cost $20? | Does it cost €20?
Is version 2.1 supported? | Is version 2.10 supported?
Is Python 3.9 still maintained? | Is Python 3.11 still maintained?
What is half of 90? | What is double of 90?
Take it once a day? | Take it twice a day?
Compare 20 % and 30 %. | Compare 30 % and 40 %.
""")

EN_ENTITY = (
    _swap(
        [
            "What is the capital of {}?",
            "How do I get a visa for {}?",
            "What is the weather in {} tomorrow?",
            "Who is the prime minister of {}?",
            "What language is spoken in {}?",
            "Is it safe to drink tap water in {}?",
        ],
        [
            ("Austria", "Australia"),
            ("Niger", "Nigeria"),
            ("Iran", "Iraq"),
            ("Slovakia", "Slovenia"),
            ("Peru", "Chile"),
            ("North Korea", "South Korea"),
            ("Sweden", "Switzerland"),
            ("Guinea", "Guyana"),
            ("Dominica", "the Dominican Republic"),
        ],
    )
    + _swap(
        [
            "When was {} born?",
            "What are the best known works of {}?",
            "Where did {} go to school?",
            "Write a short biography of {}.",
        ],
        [
            ("Albert Einstein", "Isaac Newton"),
            ("George Bush", "George W. Bush"),
            ("Jane Austen", "Emily Austen"),
            ("Schumann", "Schubert"),
            ("Marie Curie", "Pierre Curie"),
        ],
    )
    + _swap(
        [
            "How do I install {} on my laptop?",
            "What are the licence terms of {}?",
            "How much memory does {} need?",
        ],
        [
            ("Ubuntu", "Fedora"),
            ("Java", "JavaScript"),
            ("MySQL", "PostgreSQL"),
            ("GPT-3", "GPT-4"),
            ("C", "C#"),
            ("Windows 10", "Windows 11"),
            ("Redis 6", "Redis 7"),
            ("Word", "Excel"),
        ],
    )
    + _sides("""
Does Alice owe money to Bob? | Does Bob owe money to Alice?
Did Germany beat Brazil? | Did Brazil beat Germany?
Flights from London to Paris | Flights from Paris to London
Translate this from English to French. | Translate this from French to English.
Is Tom the father of Anna? | Is Anna the father of Tom?
Did the dog bite the man? | Did the man bite the dog?
Is Jupiter larger than Saturn? | Is Saturn larger than Jupiter?
How does rain affect traffic? | How does traffic affect rain?
Who taught Plato? | Who did Plato teach?
Did Apple buy the startup from Google? | Did Google buy the startup from Apple?
What is his email address? | What is her email address?
What is my account balance? | What is your account balance?
How do I call you? | How do you call me?
Who is the president? | Who was the president?
Where does the minister live? | Where did the minister live?
Where will the summit be held? | Where was the summit held?
Can employees take leave? | Must employees take leave?
Should I call a doctor? | May I call a doctor?
What does a notary do? | What is a notary?
What do cats eat? | What eats cats?
When did the war begin? | Where did the war begin?
Who wrote the report? | Why was the report written?
How many people live there? | How do people live there?
What is vitamin A good for? | What is vitamin B good for?
What is hepatitis A? | What is hepatitis C?
Is Delta hiring? | Is United hiring?
What did the US say? | What did us say?
Is the flight to Boston late? | Is the flight from Boston late?
What is on the table? | What is under the table?
Is the north entrance open? | Is the south entrance open?
Does the left button work? | Does the right button work?
Is the monthly plan cheaper? | Is the yearly plan cheaper?
What is the minimum age? | What is the maximum age?
Is the car red? | Is the car blue?
Is my brother eligible? | Is my sister eligible?
Is Monday a holiday? | Is Tuesday a holiday?
Did it rain yesterday? | Will it rain tomorrow?
What is the boiling point of water? | What is the freezing point of water?
Summarise the first paragraph. | Summarise the last paragraph.
What are the symptoms of type 1 diabetes? | What are the symptoms of type 2 diabetes?
""")
)

ZH_NEGATION = _sides("""
孕妇可以吃螃蟹吗？ | 孕妇不可以吃螃蟹吗？
哪些国家有核武器？ | 哪些国家没有核武器？
为什么付款成功了？ | 为什么付款没有成功？
打开客厅的灯 | 关闭客厅的灯
如何开启深色模式？ | 如何关闭深色模式？
太阳能的优点是什么？ | 太阳能的缺点是什么？
哪些用户已激活？ | 哪些用户未激活？
怎样增大字体？ | 怎样减小字体？
合同允许远程办公吗？ | 合同禁止远程办公吗？
接受报价会怎样？ | 拒绝报价会怎样？
谁赢了决赛？ | 谁输了决赛？
是否应该总是戴头盔？ | 是否应该从不戴头盔？
所有的鸟都会飞吗？ | 有些鸟会飞吗？
手术前要注意什么？ | 手术后要注意什么？
今天哪些股票上涨？ | 今天哪些股票下跌？
最便宜的套餐是哪个？ | 最贵的套餐是哪个？
怎么导入联系人？ | 怎么导出联系人？
如何上传文件？ | 如何下载文件？
这句话是真的吗？ | 这句话是假的吗？
这条评论是正面的吗？ | 这条评论是负面的吗？
博物馆几点开门？ | 博物馆几点关门？
这种药能和酒一起吃吗？ | 这种药不能和酒一起吃吗？
他喜欢她做的菜 | 他不喜欢她做的菜
哪些文件被修改了？ | 哪些文件没被修改？
高于上限的值有哪些？ | 低于上限的值有哪些？
可以带宠物吗？ | 禁止带宠物吗？
你要去上班吗？ | 你别去上班
未来会怎样？ | 不来会怎样？
这个反应可逆吗？ | 这个反应不可逆吗？
快递送到了吗？ | 快递还没送到吗？
""")

ZH_NUMBER = _swap(
    [
        "80的百分之{}是多少？",
        "{}是质数吗？",
        "把{}英里换算成公里",
        "请用{}句话总结这篇文章",
        "定一个{}分钟的闹钟",
        "{}个鸡蛋有多少卡路里？",
        "一次吃{}毫克安全吗？",
        "{}天后可以退货吗？",
    ],
    [
        ("5", "50"),
        ("12", "21"),
        ("七", "十一"),
        ("3", "十三"),
        ("二十五", "三十五"),
        ("8", "9"),
        ("三百", "三千"),
        ("15", "51"),
        ("1,000", "10,000"),
        ("九", "六"),
        ("20", "200"),
        ("两", "四"),
    ],
) + _sides("""
1914年发生了什么？ | 1941年发生了什么？
2014年世界杯冠军是谁？ | 2018年世界杯冠军是谁？
早上七点叫我 | 晚上七点叫我
第一个登上月球的人是谁？ | 第二个登上月球的人是谁？
三十摄氏度热吗？ | 三十华氏度热吗？
10公里要走多久？ | 10英里要走多久？
票价从5元涨到10元 | 票价从10元涨到5元
这个要三百元吗？ | 这个要三千元吗？
两点开会 | 三点开会
""")

ZH_ENTITY = (
    _swap(
        [
            "{}的首都是哪里？",
            "明天{}的天气怎么样？",
            "去{}需要签证吗？",
            "{}说什么语言？",
            "{}有多少人口？",
            "{}有哪些好吃的？",
        ],
        [
            ("奥地利", "澳大利亚"),
            ("伊朗", "伊拉克"),
            ("北京", "南京"),
            ("河南", "河北"),
            ("朝鲜", "韩国"),
            ("山西", "陕西"),
            ("江西", "广西"),
            ("印度", "印尼"),
            ("丹麦", "荷兰"),
            ("湖南", "湖北"),
            ("瑞典", "瑞士"),
            ("利比亚", "利比里亚"),
            ("东京", "京都"),
        ],
    )
    + _swap(
        ["{}是什么时候出生的？", "{}的代表作有哪些？", "介绍一下{}", "{}和谁结婚了？"],
        [
            ("李白", "杜甫"),
            ("爱因斯坦", "牛顿"),
            ("鲁迅", "老舍"),
            ("曹操", "曹丕"),
            ("苏轼", "苏辙"),
            ("居里夫人", "居里先生"),
            ("马云", "马化腾"),
        ],
    )
    + _sides("""
小明欠小红钱吗？ | 小红欠小明钱吗？
从北京到上海的航班 | 从上海到北京的航班
把这段话从英文翻译成中文 | 把这段话从中文翻译成英文
狗咬了人 | 人咬了狗
德国打败巴西了吗？ | 巴西打败德国了吗？
他的邮箱是什么？ | 她的邮箱是什么？
我的余额是多少？ | 你的余额是多少？
战争是什么时候开始的？ | 战争是在哪里开始的？
昨天下雨了吗？ | 明天会下雨吗？
左边的按钮能用吗？ | 右边的按钮能用吗？
最低年龄是多少？ | 最高年龄是多少？
我哥哥符合条件吗？ | 我姐姐符合条件吗？
水的沸点是多少？ | 水的冰点是多少？
总结第一段 | 总结最后一段
周一放假吗？ | 周二放假吗？
他把书给了她 | 她把书给了他
甲方应该付款给乙方 | 乙方应该付款给甲方
""")
)

EN_SAME = _sides("""
How do I reset my password? | What is the way to reset my password?
How do I reset my password? | Could you tell me how to reset my password?
How can I cancel my subscription? | How do I cancel my subscription?
How can I cancel my subscription? | Please tell me how to cancel a subscription.
What is the capital of France? | What's France's capital?
What is the capital of France? | Can you tell me the capital of France?
What does API stand for? | What is the meaning of API?
How many planets are there in the solar system? | What is the number of planets in the solar system?
Why is the sky blue? | What is the reason that the sky is blue?
What time does the shop open? | When does the store open?
Where can I buy a phone? | Where can I purchase a telephone?
How much does a ticket cost? | What is the price of a ticket?
Is 25 a prime number? | Is twenty-five a prime number?
Convert 3 miles to kilometres. | Convert three miles to kilometres.
Set a timer for 10 minutes. | Set a timer for ten minutes.
What is 50 percent of 80? | What is 50% of 80?
Who wrote Hamlet? | Do you know who wrote Hamlet?
Who wrote Hamlet? | I'd like to know who wrote Hamlet.
How do I delete my account? | How can I remove my account?
How do I change my email address? | What are the steps to change my e-mail address?
What's the weather in Paris tomorrow? | In Paris, what is the weather tomorrow?
What's the weather in Paris tomorrow? | Tomorrow, what's the weather in Paris?
Turn on the lights. | Turn the lights on.
Turn off the heating. | Switch the heating off.
Can I return an item? | Am I able to return an item?
Can I return an item? | Is it possible to return an item?
Do I have to pay tax? | Do I need to pay tax?
Explain photosynthesis. | What is photosynthesis?
Define inflation. | What is the definition of inflation?
Show me my invoices. | Display my invoices.
I can't log in. | I cannot log in.
The app doesn't start. | The app does not start.
How do I log in to the portal? | How do I sign in to the portal?
Translate this sentence to French. | Please translate this sentence to French.
Summarise this article. | Summarize this article, please.
What are the symptoms of flu? | Tell me the symptoms of flu.
What are the symptoms of flu? | What symptoms does flu have?
How long does shipping take? | How long will delivery take?
I forgot my password, what now? | How do I get a new password?
My parcel has not arrived. | Where is my package?
What is the best way to learn Spanish? | How should I learn Spanish?
What are good restaurants near me? | Where can I eat well around here?
How tall is Mount Everest? | What is the height of Mount Everest?
How old is the universe? | What is the age of the universe?
Who is the author of 1984? | Who wrote 1984?
How do I take a screenshot? | What's the procedure to take a screenshot?
How do I update the app? | How would I go about updating the app?
What's the population of New York City? | How many people live in New York City?
When was the company founded? | In which year was the company founded?
Does the hotel have parking? | Is there parking at the hotel?
What is the refund policy? | Could you please explain the refund policy?
What is the refund policy? | Tell me about the refund policy.
Recommend a movie. | Can you recommend a film?
How do I install Python on Windows? | How to install Python on Windows?
How do I install Python on Windows? | I want to know how to install Python on Windows.
How to make pancakes | How do you make pancakes?
How to make pancakes | What is the method to make pancakes?
Which countries border Germany? | What countries border Germany?
Find hotels in Rome. | Rome hotels
What is the boiling point of water? | What's water's boiling point?
What is the boiling point of water? | At what temperature does water boil?
How do I contact support? | How can I get in touch with support?
How do I contact support? | How does one contact support?
Where is my order? | Could you tell me where my order is?
Give me three tips for better sleep. | Give me 3 tips for better sleep.
Write a poem about autumn. | Please write a poem about autumn.
What's the difference between HTTP and HTTPS? | Explain the difference between HTTP and HTTPS.
How do I connect a printer? | What do I do to connect a printer?
What's the exchange rate for the dollar right now? | What is the exchange rate for the dollar at the moment?
Do you ship to Canada? | Is shipping to Canada available?
""")

ZH_SAME = _sides("""
怎么重置密码？ | 如何重置密码？
怎么重置密码？ | 请问怎样重置密码
怎么取消订阅？ | 我想知道如何取消订阅
法国的首都是哪里？ | 请问法国首都在哪里？
为什么天空是蓝色的？ | 天空为什么是蓝色的？
为什么天空是蓝色的？ | 为何天空是蓝色的
商店什么时候开门？ | 商店几点开门？
手机在哪里可以买到？ | 哪里能买到手机？
门票多少钱？ | 门票的价格是多少？
25是质数吗？ | 二十五是质数吗？
三天后可以退货吗？ | 3天后能退货吗
三天后可以退货吗？ | 三天后能不能退货？
哈姆雷特是谁写的？ | 请问哈姆雷特是谁写的？
怎么删除账号？ | 如何删除帐号？
怎么修改邮箱？ | 如何更改邮箱
明天北京天气怎么样？ | 北京明天的天气怎么样？
可以开发票吗？ | 能开发票吗？
可以开发票吗？ | 能不能开发票
什么是光合作用？ | 光合作用是什么？
请解释一下通货膨胀 | 通货膨胀是什么意思？
我登录不了 | 我无法登录
请把这句话翻译成英文 | 把这句话翻译成英文
总结这篇文章 | 请概括这篇文章
运费是多少？ | 运费多少钱？
我的快递到哪了？ | 我的包裹在哪里？
怎么联系客服？ | 如何联系客服人员？
怎么截屏？ | 请告诉我怎么截屏
珠穆朗玛峰有多高？ | 珠穆朗玛峰的高度是多少？
有没有停车场？ | 有停车场吗？
怎么安装这个软件？ | 这个软件如何安装？
电脑开不了机怎么办？ | 计算机无法开机怎么办？
你好，请问怎么退款？ | 怎么退款
""")


def all_of_them() -> Iterator[tuple[str, str, Pairs]]:
    """Language, kind, pairs."""
    yield "en", "negation", EN_NEGATION
    yield "en", "number", EN_NUMBER
    yield "en", "entity", EN_ENTITY
    yield "zh", "negation", ZH_NEGATION
    yield "zh", "number", ZH_NUMBER
    yield "zh", "entity", ZH_ENTITY
    yield "en", "paraphrase", EN_SAME
    yield "zh", "paraphrase", ZH_SAME
