"""Writes pairs.jsonl: 1000 sentence pairs of our own, half English, half Chinese, a third each alike, near and unlike.

Sentence frames with slots, so that lengths and words vary and every sentence stays plausible.
Run it as `python scenarios/data/make_pairs.py`; the same seed gives the same file.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from random import Random

EN_SLOTS = {
    "who": ["The teacher", "My neighbour", "A young doctor", "The night guard", "Our new colleague", "The old baker"],
    "where": ["at the station", "in the library", "near the harbour", "on the third floor", "behind the market"],
    "when": ["this morning", "last Friday", "shortly before noon", "after the meeting", "during the storm"],
    "what": ["a grey umbrella", "the blue notebook", "two train tickets", "a box of apples", "the spare key"],
}
EN_FRAMES = [
    ("{who} found {what} {where} {when}.", "{when}, {who} came across {what} {where}."),
    ("{who} forgot {what} {where} {when}.", "{what} was left {where} by {who} {when}."),
    (
        "{who} is looking for {what}, which was last seen {where}.",
        "{what}, last seen {where}, is what {who} is searching for.",
    ),
    ("Could you tell me whether {who} has returned {what}?", "Do you know if {what} was brought back by {who}?"),
    ("{who} waited {where} for almost an hour {when}.", "{when}, {who} stood {where} for nearly sixty minutes."),
    (
        "It rained so hard {when} that {who} had to stay {where}.",
        "Because of the heavy rain {when}, {who} could not leave and stayed {where}.",
    ),
    (
        "{who} says that the price of {what} has gone up again.",
        "According to {who}, {what} costs more than it used to.",
    ),
    ("{who} usually reads the newspaper {where}.", "The newspaper is normally read {where} by {who}."),
    ("Please hand {what} to {who} as soon as you arrive.", "As soon as you get here, give {what} to {who}."),
    ("{who} repaired the old bicycle {where} {when}.", "The old bicycle was mended {where} {when}; {who} did it."),
]
ZH_SLOTS = {
    "who": ["王老师", "我的邻居", "那位年轻的医生", "值夜班的保安", "新来的同事", "楼下的面包师"],
    "where": ["在火车站", "在图书馆里", "在码头附近", "在三楼走廊", "在菜市场后面"],
    "when": ["今天早上", "上周五", "快到中午的时候", "开完会以后", "暴雨期间"],
    "what": ["一把灰色的雨伞", "那本蓝色的笔记本", "两张火车票", "一箱苹果", "备用钥匙"],
}
ZH_FRAMES = [
    ("{when}{who}{where}捡到了{what}。", "{who}{when}{where}拾到{what}。"),
    ("{who}{when}把{what}忘{where}了。", "{when}{what}被{who}落{where}了。"),
    ("{who}正在找{what}，最后一次看见它是{where}。", "{what}最后出现{where}，{who}还在到处找。"),
    ("请问{who}把{what}还回来了吗？", "你知道{what}是不是已经由{who}归还了？"),
    ("{when}{who}{where}等了将近一个小时。", "{who}{when}{where}站了差不多六十分钟。"),
    ("{when}雨下得太大，{who}只好留{where}。", "因为{when}的大雨，{who}走不了，只能待{where}。"),
    ("{who}说{what}又涨价了。", "听{who}讲，{what}比以前贵了。"),
    ("{who}平时喜欢{where}看报纸。", "看报纸的时候，{who}一般都{where}。"),
    ("你一到就把{what}交给{who}。", "到了以后请马上把{what}给{who}。"),
    ("{when}{who}{where}把旧自行车修好了。", "旧自行车是{who}{when}{where}修好的。"),
]


def sentence(frame: str, slots: dict[str, str]) -> str:
    """A frame filled in, its first letter large and names inside the sentence small."""
    text = frame.format(**slots)
    for word in ("The ", "My ", "A ", "Our "):
        text = text[0] + text[1:].replace(word, word.lower())
    return text[0].upper() + text[1:]


def pairs(language: str, count: int, rng: Random) -> list[dict[str, str]]:
    """`count` different pairs, a third each: the same said otherwise, one detail changed, something else."""
    frames, slots = (EN_FRAMES, EN_SLOTS) if language == "en" else (ZH_FRAMES, ZH_SLOTS)
    fillings = [dict(zip(slots, values, strict=True)) for values in product(*slots.values())]
    found: dict[tuple[str, str], dict[str, str]] = {}
    while len(found) < count:
        kind = ("alike", "near", "unlike")[len(found) % 3]
        (first, second), filling = rng.choice(frames), rng.choice(fillings)
        other = dict(filling)
        if kind == "near":
            used = [slot for slot in slots if "{" + slot + "}" in second]
            slot = rng.choice(used)
            other[slot] = rng.choice([value for value in slots[slot] if value != filling[slot]])
        elif kind == "unlike":
            (second, _), other = rng.choice([frame for frame in frames if frame[0] != first]), rng.choice(fillings)
        row = {"text1": sentence(first, filling), "text2": sentence(second, other), "kind": kind, "language": language}
        found.setdefault((row["text1"], row["text2"]), row)
    return list(found.values())


def main() -> None:
    """Write the file beside this one."""
    rng = Random(20)
    rows = pairs("en", 500, rng) + pairs("zh", 500, rng)
    rng.shuffle(rows)
    lines = (json.dumps({"id": number, **row}, ensure_ascii=False) for number, row in enumerate(rows))
    (Path(__file__).parent / "pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
