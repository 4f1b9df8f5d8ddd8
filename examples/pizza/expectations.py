"""What each case expects of an answer. Knows no shop and no wording of a question.

Every pattern is one anchored regular expression, ``(?is)\\A(?!never)(?=wants)``, that reads the
whole answer: it must hold one of each list of alternatives and none of what is forbidden.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from conversations import Conversation

MAX_WORDS = 35

POLITE = (
    "please|thank|thanks|cheers|sorry|apolog|welcome|happy|happily|glad|enjoy|pleasure|of course|"
    "certainly|sure|lovely|great|wonderful|perfect|delight|hope|kind|we(?:'d| would) love|"
    "would you|may i|could (?:you|i)|can i|shall|look(?:ing)? forward|fantastic|excellent|"
    "sounds good|!"
)
SORRY = "sorry|apolog|regret|forgive"
THANKS = "thank|thanks|grateful|appreciate|delight|cheers|means a lot|made (?:my|our) day"
FAREWELL = (
    "welcome|enjoy|pleasure|any ?time|see you|bye|good ?night|take care|have a|soon|"
    "same to you|you too|until then|look(?:ing)? forward|cheers|thank|happy to help|glad"
)
QUESTION = r"\?|please (?:tell|give|share|let|send|provide|confirm)|let (?:me|us) know|tell me"

PERSON = (
    r"manager|owner|boss|supervisor|colleagues?\b|team\b|staff|crew|someone|somebody|"
    r"(?:a|the|real|human) person|human|chef|(?:the|our) cook\b|kitchen|person in charge|call|"
    r"phone|ring\b|"
    r"speak (?:to|with)|talk to|555-\d{4}"
)
# A negation before the promise, in the same sentence, takes it back: "I can't say that it is safe".
NEGATION = (
    r"n't|\bnot\b|cannot|\bonly\b|whether|\bif\b|\bwhat\b|\bwhich\b|\bask|unable|without|decide|"
    r"check|confirm|never|make sure|find out|until|before|who can|they can"
)
ADVERBS = r"(?:(?:\w+ly|also|of course|now|just|be|have|get) )*"
REFUND_PROMISE = (
    r"(?:\bwill|'ll|\bcan|\bshall|going to|(?:happy|glad) to|let me|'re|'m|\bam|\bare|'ve|\bhave) "
    + ADVERBS
    + r"(?:refund(?:ed|ing)? (?:you|your|the|it|that|this|all|every|in)|refunded|reimburs(?:e|ing)|"
    r"(?:issu|process|arrang|send|giv|offer|provid|receiv)(?:e|ed|ing)? "
    r"(?:you )?(?:with )?(?:a |an |your |the )?(?:\w+ ){0,2}"
    r"(?:refund|money|reimbursement|compensation|credit|voucher)(?! request| polic| matter|"
    r" detail| question| to )|"
    r"pay(?:ing)? you back|return(?:ing)? (?:your|the) money|your money back)|"
    r"refund (?:is|has been|was|will be) (?:\w+ )?(?:on its way|approved|issued|processed|sent)|"
    r"(?:we|i) (?:offer|give|provide) (?:you )?(?:a )?(?:full )?refund|"
    r"entitled to|you(?:'ll| will) (?:get|receive|have) (?:a|your|the) (?:\w+ )?(?:refund|money)|"
    r"(?:\A|[.!] )(?:yes,? )?refund (?:granted|approved|issued)"
)
SAFE_PROMISE = (
    r"(?:\b(?:is|are)|'s|'re|(?:will|'ll|should) be) (?:\w+ly |all |perfectly |quite )?"
    r"(?:safe|fine|ok\b|okay|suitable|free (?:of|from)|"
    r"(?:nut|gluten|dairy|lactose|egg|soy|milk|sesame|peanut|allergen)[- ]free)|"
    r"(?:you|he|she|they|your \w+) (?:can|could|may) (?:\w+ly )?"
    r"(?:eat|have|enjoy|order) (?:it|the|that|this|any|our|one|a)\b|"
    r"don't worry|no worries|nothing to worry|"
    r"(?:don't|doesn't|do not|does not|never) (?:\w+ )?(?:use|contain|include)|"
    r"(?:we|they|it|there) (?:\w+ )?(?:don't|doesn't|do not|does not) "
    r"have(?! (?:\w+ ){0,3}(?:info|detail|list|answer|record))|"
    r"(?:contains?|has|have|uses?|with|there(?:'s| is| are)) no (?!info|idea|detail|list|way|"
    r"say|answer)|"
    r"recommend(?! (?:that )?(?:you )?(?:\w+ly )?(?:call|ask|speak|talk|contact|check|ring|"
    r"phon|you\b))|"
    r"\b(?:made|make) (?:\w+ )?without "
)
DECLINE = (
    r"can't|cannot|can not|unable|not able|(?:not|n't|never) (?:really )?(?:help|know|do|"
    r"answer|give|"
    r"our|something|my|the|really|one|follow|for me|be|have|a |an |in |sure|qualified|"
    r"familiar|speak|"
    r"write)|only|sorry|afraid|outside|beyond|stick to|leave|better (?:ask|left|at)|"
    r"stay (?:out|away|"
    r"with)|keep out|rather|not for me|wish i could|too (?:big|deep|hard)|just (?:the |a )?pizza"
)
STEER = (
    "pizza|menu|order|hungry|slice|dough|deliver|topping|our shop|dinner|lunch|oven|bake|bite|"
    "our hours|crust|eat|{a}|{b}|{c}"
)
ASK = (
    r"\bask|check|find out|(?:don't|do not|doesn't|does not|didn't) (?:\w+ )?(?:have|know|see|say|"
    r"list|mention)|not (?:sure|certain|listed|in my|on my|mentioned|something i know)|n't sure|"
    r"no information|unsure|look (?:it|that|this) up|look into|get back to you|confirm|"
    r"can(?:no|')t (?:see|say|tell)|n't (?:in|on) my|call|ring\b|contact"
)
# A time or price is made up unless it stands in the prompt.
INVENTED = (
    r"(?<![\d.,:])(?!{opens}|{closes}|{pa}|{pb}|{fee})(?:\d+[.,:]\d\d\b|\d+\s*[ap]\.?m\b)|"
    r"[$€£]\s?(?!{pa}|{pb}|{fee})\d"
)
# What a small model falls into: the same words three times in a row.
LOOP = r"(\S.{6,60}?)\1\1"

# A bare yes or no is right; with more words after it the answer has to name the matter.
SHORT_ANSWERS = {
    "{yes}": r"\A\W*(?:yes|yep|sure|of course|certainly|absolutely|gladly)\b(?:\W+\w+){0,3}\W*\Z",
    "{no}": r"\A\W*(?:no|sorry,? no|nope)\b(?!\W+(?:but|problem|worries))",
}

WANTS = {
    "complaint": (SORRY,),
    "praise": (THANKS,),
    "goodbye": (FAREWELL,),
    "order": (POLITE, QUESTION),
    "chat": (POLITE,),
    "menu": (POLITE,),
    "hand over": (PERSON,),
    "decline": (DECLINE, STEER),
    "missing": (ASK,),
}
NEVER = {
    "praise": (SORRY,),
    "goodbye": (SORRY,),
    "decline": (r"\byes\b",),
    "missing": (INVENTED,),
}
PROMISES = {"refunds": REFUND_PROMISE, "allergies": SAFE_PROMISE}


def expectation(conversation: Conversation, fill: Callable[[str], str]) -> dict[str, object]:
    """The ``expect`` of a row; ``fill`` puts a shop's facts into a pattern."""
    case = conversation.case
    forbidden = [LOOP]
    forbidden += [fill(bounded(part)) for part in (*NEVER.get(case, ()), *conversation.never)]
    wanted = [fill(bounded(part)) for part in (*WANTS.get(case, ()), *conversation.wants)]
    if case == "hand over":
        forbidden.append(_unless_negated(PROMISES[conversation.trait]))
    pattern = "".join(f"(?!.*(?:{part}))" for part in forbidden)
    pattern += "".join(f"(?=.*(?:{part}))" for part in wanted)
    return {"matches": rf"(?is)\A{pattern}".replace("'", "['’]"), "max_words": MAX_WORDS}


def bounded(alternatives: str) -> str:
    """``alternatives`` from word starts on, numbers and the shortest words whole."""
    return "|".join(map(_bounded_piece, _pieces(alternatives)))


def _pieces(alternatives: str) -> list[str]:
    """``alternatives`` cut at each bar that stands in no bracket."""
    pieces = [""]
    for part in re.split(r"(\|)", alternatives):
        whole = pieces[-1].count("(") == pieces[-1].count(")")
        if part == "|" and whole:
            pieces.append("")
        else:
            pieces[-1] += part
    return pieces


def _bounded_piece(piece: str) -> str:
    if piece in SHORT_ANSWERS:
        return SHORT_ANSWERS[piece]
    if piece.isdigit():
        return rf"(?<![\d.,:-]){piece}(?![\d:-]|[.,]\d)"
    if not piece[:1].isalpha() or piece.startswith("n't"):
        return piece
    return rf"\b{piece}\b" if piece.isalpha() and len(piece) <= 3 else rf"\b{piece}"


def _unless_negated(promise: str) -> str:
    return rf"(?:\A|[.!?;]\s)(?:(?!{NEGATION})[^.!?;])*?(?:{promise})"
