"""Training text for the tokenizers of random models: seeded English and Chinese sentences of common words.

Words that occur here become one token each, others are split into pieces, so a load of common words costs about as
much as with a real vocabulary. Chinese characters are single tokens for WordPiece, as in BERT's vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

_ENGLISH = """
the of and to a in is it you that he was for on are with as i his they be at one have this from or had by hot but
some what there we can out other were all your when up use word how said an each she which do their time if will way
about many then them would write like so these her long make thing see him two has look more day could go come did
my sound no most number who over know water than call first people may down side been now find any new work part
take get place made live where after back little only round man year came show every good me give our under name
very through just form sentence great think say help low line differ turn cause much mean before move right boy old
too same tell does set three want air well also play small end put home read hand port large spell add even land
here must big high such follow act why ask men change went light kind off need house picture try us again animal
point mother world near build self earth father head stand own page should country found answer school grow study
still learn plant cover food sun four between state keep eye never last let thought city tree cross farm hard start
might story saw far sea draw left late run while press close night real life few north open seem together next white
children begin got walk example ease paper group always music those both mark often letter until mile river car feet
care second book carry took science eat room friend began idea fish mountain stop once base hear horse cut sure
watch color face wood main enough plain girl usual young ready above ever red list though feel talk bird soon body
dog family direct leave song measure door product black short numeral class wind question happen complete ship area
half rock order fire south problem piece told knew pass since top whole king space heard best hour better true
during hundred five remember step early hold west ground interest reach fast verb sing listen six table travel less
morning ten simple several vowel toward war lay against pattern slow center love person money serve appear road map
rain rule govern pull cold notice voice unit power town fine certain fly fall lead cry dark machine note wait plan
figure star box noun field rest correct able pound done beauty drive stood contain front teach week final gave green
quick develop ocean warm free minute strong special mind behind clear tail produce fact street inch multiply nothing
course stay wheel full force blue object decide surface deep moon island foot system busy test record boat common
gold possible plane stead dry wonder laugh thousand ago ran check game shape equate miss brought heat snow tire
bring yes distant fill east paint language among grand ball yet wave drop heart am present heavy dance engine
position arm wide sail material size vary settle speak weight general ice matter circle pair include divide felt
perhaps pick sudden count square reason length represent art subject region energy hunt bed brother egg ride cell
believe fraction forest sit race window store summer train sleep prove lone leg exercise wall catch mount wish sky
board joy winter written wild instrument kept glass grass cow job edge sign visit past soft fun bright gas weather
month million bear finish happy hope flower clothe strange gone jump baby eight village meet root buy raise solve
metal whether push seven paragraph third shall held hair describe cook floor either result burn hill safe cat
century consider type law bit coast copy phrase silent tall sand soil roll temperature finger industry value fight
lie beat excite natural view sense ear else quite broke case middle kill son lake moment scale loud spring observe
child straight consonant nation dictionary milk speed method organ pay age section dress cloud surprise quiet stone
tiny climb cool design poor lot experiment bottom key iron single stick flat twenty skin smile crease hole trade
melody trip office receive row mouth exact symbol die least trouble shout except wrote seed tone join suggest clean
break lady yard rise bad blow oil blood touch grew cent mix team wire cost lost brown wear garden equal sent choose
fell fit flow fair bank collect save control decimal gentle woman captain practice separate difficult doctor please
protect noon whose locate ring character insect caught period indicate radio spoke atom human history effect
electric expect crop modern element hit student corner party supply bone rail imagine provide agree thus capital
chair danger fruit rich thick soldier process operate guess necessary sharp wing create neighbor wash bat rather
crowd corn compare poem string bell depend meat rub tube famous dollar stream fear sight thin triangle planet hurry
chief colony clock mine tie enter major fresh search send yellow gun allow print dead spot desert suit current lift
rose continue block chart hat sell success company subtract event particular deal swim term opposite wife shoe
shoulder spread arrange camp invent cotton born determine quart nine truck noise level chance gather shop stretch
throw shine property column molecule select wrong gray repeat require broad prepare salt nose plural anger claim
oxygen sugar death pretty skill women season solution magnet silver thank branch match suffix especially fig afraid
huge sister steel discuss forward similar guide experience score apple bought led pitch coat mass card band rope
slip win dream evening condition feed tool total basic smell valley nor double seat arrive master track parent shore
division sheet substance favor connect post spend chord fat glad original share station dad bread charge proper bar
offer segment duck instant market degree dear enemy reply drink occur support speech nature range steam motion path
liquid log meant teeth shell neck request server model queue client answer response error token batch label score
premise text news sports business technology health education travel finance weather service customer review product
price delivery phone account password refund payment positive negative neutral urgent article report teacher kitchen
closed writes finds keeps sends opens builds reads moves holds repairs checks beside without because late early
sitting sat running walking works makes says takes looks plays opened closed called asked cats dogs example user
assistant system hello world thanks sorry maybe today tomorrow yesterday monday friday january december
"""
_CHINESE = """
我们 你们 他们 今天 明天 昨天 现在 时间 问题 工作 学习 老师 学生 朋友 中国 城市 国家 世界 公司
市场 经济 技术 科学 研究 发展 社会 文化 历史 教育 健康 医生 医院 天气 下雨 晴天 春天 夏天 秋天
冬天 早上 晚上 中午 吃饭 喝水 睡觉 跑步 走路 汽车 火车 飞机 手机 电脑 网络 软件 数据 模型 语言
文本 句子 相似 分类 标签 回答 请求 服务 错误 非常 可能 应该 可以 需要 喜欢 知道 认为 希望 开始
结束 继续 完成 提高 增加 减少 改变 使用 选择 比较 重要 简单 困难 快速 缓慢 美丽 高兴 难过 大家
自己 孩子 父母 家庭 房子 窗户 花园 河流 山脉 海洋 动物 植物 音乐 电影 新闻 体育 比赛 足球 篮球
价格 质量 顾客 商品 订单 快递 付款 退款 密码 账号 怎么 什么 为什么 哪里 谁 多少 如果 但是 因为
所以 虽然 然后 已经 正在 没有 不是 就是 还是 或者 以及 关于 对于 通过 根据 由于 一个 两个 三个
第一 最后 全部 部分
"""
_MARKS = (".", ".", ".", ".", "?", "!", ";", ":")
_NUMBERS = (
    "0",
    "1",
    "2",
    "3",
    "7",
    "10",
    "42",
    "100",
    "2024",
    "3.5",
    "50%",
    "$20",
    "(a)",
    '"so"',
    "it's",
    "don't",
    "e-mail",
)


def lines(seed: int = 1) -> Iterator[str]:
    """Sentences, some 20 kB in all; every word occurs three times."""
    rng = Random(seed)
    for text_of_words, glue, ends in ((_ENGLISH, " ", _MARKS), (_CHINESE, "", "。。。？！；")):
        words = text_of_words.split()
        for _ in range(3):
            pile = rng.sample(words, len(words))
            while pile:
                length = rng.randint(5, 14)
                taken, pile = pile[:length], pile[length:]
                if glue and rng.random() < 0.2:
                    taken.insert(rng.randrange(len(taken) + 1), rng.choice(_NUMBERS))
                text = glue.join(taken)
                yield text[:1].upper() + text[1:] + rng.choice(ends)
