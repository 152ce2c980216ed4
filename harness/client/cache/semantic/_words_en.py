"""English words for the guard: filler words, synonyms, and question forms.

Only words that are interchangeable in nearly every sentence are listed. A missing word costs a hit; a wrong one
causes a wrong answer.
"""

from __future__ import annotations

import re


def _of(words: str) -> list[str]:
    return words.split()


PHRASES = [
    # Politeness and requests.
    ("h", r"\b(?:hi|hello|hey)\b(?: there)?[ ,!.]*", " "),
    (
        " you ",
        r"\b(?:could|can|would|will) you (?:please |kindly )?(?:tell|show|explain|give|help|describe|let)\b",
        " me ",
    ),
    ("me", r"^(?:[\s,]|please|kindly)*me(?: +(?:me|us|to me))?\b", " "),
    ("know", r"\b(?:do|would) you (?:happen to )?know\b", " "),
    (" to ", r"\bi(?: would|'d)? (?:like|want|need|wish) to (?:know|learn|find out|understand|ask)\b(?: about)?", " "),
    ("i ", r"\bi (?:am|'m) (?:wondering|curious)(?: about)?\b|\bi wonder\b|\bi was wondering\b", " "),
    ("me", r"\b(?:tell|show|give) me\b(?: about)?|\blet me know\b|\bexplain to me\b", " "),
    (" to", r"\bis it possible (?:for me )?to\b|\bam i able to\b|\bare we able to\b", " can i "),
    ("thank", r"\b(?:thanks|thank you)(?: in advance| a lot| very much)?\b", " "),
    # Forms of "how".
    (
        "what",
        r"\bwhat(?: is|'s| are) (?:the|a) (?:way|steps|procedure|process|method|right way)s? (?:to|for|of)\b",
        " how ",
    ),
    (" to", r"\b(?:the|a) way to\b|\bthe steps to\b", " how "),
    ("", r"\bin what way\b|\bby what means\b", " how "),
    ("how ", r"\bhow (?:do|does|can|could|would|might) (?:i|we|you|one|someone|somebody)(?: go about)?\b", " how "),
    ("how ", r"\bhow (?:should|shall) (?:i|we|one)\b", " how "),
    ("to", r"\bhow am i supposed to\b|\bhow to\b", " how "),
    # Forms of "what", "when", "why" and "how many".
    ("what does", r"\bwhat does (.{1,60}?) (?:mean|stand for)\b", r" what is \1 "),
    (" of", r"\bwhat(?: is|'s) (?:the )?(?:meaning|definition) of\b", " what is "),
    ("define", r"\bdefine\b(?: what)?", " what is "),
    ("describe", r"\bdescribe\b(?: what)?", " what is "),
    ("explain", r"\bexplain\b(?: what)?", " what is "),
    ("what time", r"\b(?:at )?what time\b", " when "),
    ("", r"\bwhat(?: is|'s) the reason (?:that|why|for)\b|\bhow come\b|\bfor what reason\b", " why "),
    ("what", r"\bwhat(?: is|'s) the (?:number|count) of\b", " how many "),
    ("what", r"\bwhat(?: is|'s) the (?:price|cost) of\b", " how much does cost "),
    ("how much", r"\bhow much (?:is|are)\b", " how much does cost "),
    # Expressions of several words.
    (" to", r"\b(?:have|has|need|needs) to\b|\bought to\b", " must "),
    ("to", r"\bin order to\b|\bso as to\b", " to "),
    (" of", r"\ba (?:lot|great deal) of\b|\blots of\b|\bplenty of\b", " many "),
    ("right now", r"\bright now\b", " now "),
    ("at the moment", r"\bat the moment\b", " now "),
    ("at present", r"\bat present\b", " now "),
    ("currently", r"\bcurrently\b", " now "),
    ("", r"\bas well as\b|\balong with\b|\btogether with\b", " and "),
    ("", r"\bbecause of\b|\bdue to\b|\bowing to\b", " because "),
    ("cent", r"\bper ?cent\b", "%"),
    ("get rid", r"\bget rid of\b", " delete "),
    ("set up", r"\bset up\b", " setup "),
    ("log", r"\blog ?(?:in|on)(?:to)?\b", " login "),
    ("sign in", r"\bsign in(?:to)?\b", " login "),
    ("out", r"\blog ?out\b|\bsign out\b", " logout "),
    ("mail", r"\be-?mails?\b", " email "),
    ("turn", r"\bturn(?:ed|ing|s)? (on|off)\b", r" switch \1 "),
    ("switch", r"\bswitch(?:ed|ing|es)? (.{1,40}?) (on|off)\b", r" switch \2 \1 "),
    ("turn", r"\bturn(?:ed|ing|s)? (.{1,40}?) (on|off)\b", r" switch \2 \1 "),
]
"""(Substring of the lower-case text that enables the rule, pattern, replacement); applied in this order."""

CONTRACTIONS = [
    ("can", r"\bcan't\b|\bcannot\b", "can not"),
    ("won't", r"\bwon't\b", "will not"),
    ("shan't", r"\bshan't\b", "shall not"),
    ("n't", r"n't\b", " not"),
    ("'", r"'re\b|'m\b", " is"),
    ("'ll", r"'ll\b", " will"),
    ("'ve", r"'ve\b", " have"),
    ("'d", r"'d\b", " would"),
]

EMPTY = frozenset(
    _of(
        "a an the this that these those of to in at for about is are am be been being do does doing have has having "
        "would please kindly just also so then well very really actually basically exactly simply there here what "
        "which it its some any s as and"
    )
)
"""Words that never distinguish two questions; prepositions of direction, time and exclusion are not among them."""

PERSONS = {
    **dict.fromkeys(_of("i me my mine myself we us our ours"), "i"),
    **dict.fromkeys(_of("you your yours yourself"), "you"),
    **dict.fromkeys(_of("he him his himself"), "he"),
    **dict.fromkeys(_of("she her hers herself"), "she"),
    **dict.fromkeys(_of("they them their theirs"), "they"),
}

NEGATIONS = frozenset(_of("not no never none nobody nothing nowhere neither nor without hardly barely scarcely cannot"))

SAME = {
    word: group.split()[0]
    for group in (
        "buy purchase",
        "begin start commence",
        "end finish",
        "big large",
        "small little",
        "fast quick",
        "quickly rapidly",
        "picture image photo photograph",
        "movie film",
        "car automobile",
        "help assist",
        "fix repair",
        "delete remove erase",
        "create make",
        "get obtain receive",
        "phone telephone",
        "choose select pick",
        "change modify alter",
        "use utilize utilise",
        "allow permit",
        "show display",
        "doctor physician",
        "kid child children",
        "job occupation",
        "country nation",
        "city town",
        "trip journey",
        "store shop",
        "answer reply",
        "happen occur",
        "contain include",
        "whole entire",
        "rich wealthy",
        "smart intelligent clever",
        "easy simple",
        "important significant",
        "main primary",
        "not no",
        "can could may",
        "colour color",
        "favourite favorite",
        "centre center",
        "organise organize",
        "summarise summarize",
        "company firm",
        "tv television",
        "ad advertisement",
        "holiday vacation",
        "subway metro underground",
        "sofa couch",
        "rubbish garbage trash",
        "require need",
        "setup configure install",
        "parcel package",
        "people persons",
        "old elderly",
        "enough sufficient",
        "many numerous",
        "biggest largest",
        "fastest quickest",
    )
    for word in group.split()
}
"""Word -> the representative of its synonyms."""

ASKING = frozenset(_of("what which when where why who whom how much many and but"))
"""After these words, or at the beginning, "do" is an auxiliary; elsewhere it is the main verb."""

TIMES = frozenset(_of("today tomorrow yesterday tonight now"))

SMALL = {
    word: number
    for number, word in enumerate(
        _of(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
TENS = {word: 10 * (n + 2) for n, word in enumerate(_of("twenty thirty forty fifty sixty seventy eighty ninety"))}
SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
ORDINALS = {
    word: number
    for number, word in enumerate(_of("first second third fourth fifth sixth seventh eighth ninth tenth"), start=1)
}
MOVED = re.compile(
    r"^\s*((?:in|on|at|for|during|after|before|since|until|by|with|as of)\b[^,]{1,40}),\s*(.+)$", re.DOTALL
)
"""An introductory phrase with a comma after it."""
