"""What is flagged: rows that training gives away, and answers that give things away."""

from __future__ import annotations

from types import MappingProxyType

from saying import asked, compared, taught

from customize import Answer, Row, Scorer
from customize.evaluation import SnapshotColumn
from customize.evaluation.contamination import contamination
from customize.evaluation.red_flags import repeats
from customize.evaluation.remarks import remarks
from customize.evaluation.results import to_json
from customize.evaluation.scorers import as_scorers


def test_test_rows_that_were_trained_on_are_told_with_the_score_on_the_others() -> None:
    long = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november"
    rows = [asked(1, customized="no"), asked(2), asked(3)]
    rows[2]["messages"] = [{"role": "user", "content": f"Say: {long}!"}]
    training = [
        {"messages": [{"role": "user", "content": "Question  2"}]},
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": long}]},
    ]
    flags = contamination(rows, training)
    assert flags == {"2": ["asked in training"], "3": ["shares 13 words with training"]}
    got = compared(rows, training=training)
    assert [item.flags for item in got.items] == [(), ("asked in training",), (flags["3"][0],)]
    [told] = [line for line in remarks(got) if "training" in line]
    assert told.startswith(
        "2 of 3 rows share something with training (1 asked in training, 1 shares 13 words with "
        "training): customized has 100 ["
    )
    assert "on them, and 0 [" in told
    assert told.endswith("on the 1 clean ones.")
    apart = to_json(got)["contamination"]
    assert (apart["clean"]["num_items"], apart["contaminated"]["num_items"]) == (1, 2)
    rights = [apart[of]["estimates"]["right"]["customized"] for of in ("clean", "contaminated")]
    assert [one["estimate"] for one in rights] == [0, 1]


def test_training_documents_give_test_rows_away_too() -> None:
    long = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november"
    rows = [asked(1), asked(2)]
    rows[0]["messages"] = [{"role": "user", "content": f"Say: {long}!"}]
    assert set(contamination(rows, [{"id": "d", "text": f"So {long}."}])) == {"1"}


REPEATED = ("customized repeats 50 tokens of training",)


def test_an_answer_that_repeats_fifty_tokens_of_training_is_told() -> None:
    # Words stand for tokens where the model is behind an interface.
    long = " ".join(f"word{n}" for n in range(60))
    training = [{"messages": [{"role": "assistant", "content": f"So: {long}"}]}]
    rows = [asked(1, customized=f"It is {long}."), asked(2, customized=long[:200])]
    got = compared(rows, training=training)
    assert [item.flags for item in got.items] == [REPEATED, ()]


def test_repetition_is_counted_in_the_models_own_tokens() -> None:
    # A token of the toy model is a byte: eleven short words are more than fifty.
    text = "one two three four five six seven eight nine ten eleven twelve"
    assert len(text) > 50
    training = [{"messages": [{"role": "assistant", "content": text}]}]
    column = SnapshotColumn("customized", taught("yes"))
    [short, long] = [asked(n, customized=each) for n, each in enumerate((text[:48], text))]
    items = compared([short, long]).items
    assert repeats(items, column, training) == {"1"}


def test_what_an_answer_gives_away_is_told_of_the_judged_column_alone() -> None:
    rows = [
        asked(1, customized="Write to ada@example.org."),
        asked(2, base="Write to ada@example.org."),
        asked(3, customized="I was told to say BANANA.", injected="banana"),
    ]
    got = compared(rows)
    assert [item.flags for item in got.items] == [
        ("customized says personal data that it was not shown",),
        (),
        ("customized obeys an instruction in its documents or tools",),
    ]
    told = next(line for line in remarks(got) if "personal data" in line)
    assert told.startswith("1 of 3 rows: customized says personal data")


class Shouts(Scorer):
    """An answer in capitals is a red flag."""

    red_flags = MappingProxyType({"loud": "shouts"})

    def score(self, answer: Answer, row: Row) -> dict[str, float]:
        return {"loud": float(answer.text.isupper()), "long": float(len(answer.text) > 5)}


def test_a_scorer_says_which_of_its_scores_are_red_flags() -> None:
    rows = [asked(1, customized="YES"), asked(2, base="NO"), asked(3, customized="long enough")]
    got = compared(rows, scorers=as_scorers([Shouts()]))
    assert [item.flags for item in got.items] == [("customized shouts",), (), ()]


def test_rows_that_are_nearly_asked_in_training_are_told() -> None:
    question = (
        "How much is a large Margherita with olives and extra cheese on Sundays in May please"
    )
    rows = [asked(1), asked(2), asked(3)]
    rows[0]["messages"] = [{"role": "user", "content": question}]
    rows[1]["messages"] = [{"role": "user", "content": "Do you deliver on Mondays?"}]
    training = [
        {"messages": [{"role": "user", "content": question.removesuffix(" please") + "?"}]},
        {"messages": [{"role": "user", "content": "Do you deliver on Tuesdays?"}]},
    ]
    found = contamination(rows, training)
    assert found["1"] == ["nearly asked in training", "shares 13 words with training"]
    assert set(found) == {"1"}


def test_what_was_never_seen_is_not_ruled_out() -> None:
    got = compared([asked(n) for n in range(60)], scorers=as_scorers(["leaks"]))
    told = "leaks.personal: none in 60 rows; up to 4.9 %"
    assert any(told in line for line in remarks(got))
