"""Sampling through the protocol, against the same calls made in process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from wire_client import HELLO, Asking, OperationFailed, datum, serving

from customize import Prompt, Sampling
from customize.testing import ToyBackend
from customize_tinker.limits import Limits
from customize_tinker.responses import Samples
from customize_tinker.sampling import sample_together


def test_samples_are_those_of_the_same_seed_in_process(tmp_path: Path) -> None:
    async def through_the_server() -> list[list[int]]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            given = await asking.sample(sampler, HELLO, n=3, params={"stop": []})
            return [one.tokens.tolist() for one in given.completions]

    (expected,) = (
        ToyBackend()
        .load()
        .base()
        .sample([Prompt(HELLO, n=3, seed=5)], Sampling(max_tokens=8, stop_tokens=()))
        .result()
    )
    assert asyncio.run(through_the_server()) == [one.tokens.tolist() for one in expected]


def test_the_sampler_says_what_the_trainer_says(tmp_path: Path) -> None:
    """Of the weights of one moment: to the bit, since one engine computes both."""

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            await asking.learn(model, [datum(HELLO)])
            await asking.step(model, 1.0)
            kept = await asking.do("save_weights_for_sampler", model, sampling_session_seq_id=0)
            trained = await asking.learn(model, [datum(HELLO)], forward_only=True)
            scored = await asking.sample(
                kept["sampling_session_id"], HELLO, params={"max_tokens": 1}, prompt_logprobs=True
            )
            assert scored.prompt_logprobs is not None
            assert np.isnan(scored.prompt_logprobs[0])
            np.testing.assert_array_equal(scored.prompt_logprobs[1:], trained.logprobs[0])
            drawn = await asking.sample(
                kept["sampling_session_id"], HELLO, seq=1, params={"max_tokens": 5, "stop": []}
            )
            tokens = [*HELLO, *drawn.completions[0].tokens.tolist()]
            again = await asking.learn(model, [datum(tokens)], forward_only=True)
            np.testing.assert_allclose(
                drawn.completions[0].sampling_logprobs, again.logprobs[0][-5:], atol=1e-6
            )

    asyncio.run(through_the_server())


def test_the_likeliest_tokens_of_each_place_are_told(tmp_path: Path) -> None:
    """Against the toy's own table."""

    async def through_the_server() -> Samples:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            params: dict[str, object] = {"stop": []}
            return await asking.sample(
                sampler, HELLO, 2, 0, params, topk_prompt_logprobs=3, topk_sample_logprobs=2
            )

    samples = asyncio.run(through_the_server())
    logprobs = table_of_the_toy()
    found = samples.likeliest_of_prompt
    assert found is not None
    assert (found.tokens[0] == 0).all()
    assert (found.logprobs[0] == -99999).all()
    for place, before in enumerate(HELLO[:-1], start=1):
        best = sorted(range(len(logprobs)), key=lambda token: -logprobs[before, token])[:3]
        assert found.tokens[place].tolist() == best
        np.testing.assert_allclose(found.logprobs[place], logprobs[before, best], atol=1e-6)
    for one, told in zip(samples.completions, samples.likeliest, strict=True):
        contexts = [HELLO[-1], *one.tokens[:-1].tolist()]
        assert told.tokens[:, 0].tolist() == [int(logprobs[token].argmax()) for token in contexts]


def table_of_the_toy() -> np.ndarray:
    """Log-probabilities of what follows a token, which is all that matters there."""
    table = ToyBackend().load().table_VV  # type: ignore[attr-defined]  # the toy's
    return np.asarray(table - np.log(np.exp(table).sum(axis=1, keepdims=True)))


CHOSEN = [[-1, 4], [9, 9], [-1, -1], [0, 30], [6, -1], [2, 3], [-1, 1]]


@pytest.mark.parametrize("sparse", [False, True])
def test_chosen_tokens_of_each_place_are_scored(tmp_path: Path, sparse: bool) -> None:
    """As a whole matrix, in which -1 asks for nothing, or as the cells that are asked for."""
    cells = [(r, c, t) for r, row in enumerate(CHOSEN) for c, t in enumerate(row) if t >= 0]
    asked: dict[str, object] = {
        "dtype": "int64",
        "shape": [7, 2],
        "data": [t for row in CHOSEN for t in row],
    }
    if sparse:
        asked |= {
            "data": [token for _, _, token in cells],
            "sparse_crow_indices": [sum(r < row for r, _, _ in cells) for row in range(8)],
            "sparse_col_indices": [column for _, column, _ in cells],
        }

    async def through_the_server() -> Samples:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            return await asking.sample(sampler, HELLO, target_prompt_logprobs=asked)

    found = asyncio.run(through_the_server()).target_logprobs
    logprobs, expected = table_of_the_toy(), np.zeros((7, 2), np.float32)
    for row, column, token in cells:
        expected[row, column] = logprobs[HELLO[row], token]
    assert found is not None
    assert found.shape == (7, 2)
    if sparse:
        assert found.sparse is not None
        assert found.sparse.columns.tolist() == asked["sparse_col_indices"]
        assert found.sparse.starts.tolist() == asked["sparse_crow_indices"]
        expected = np.asarray([expected[row, column] for row, column, _ in cells], np.float32)
    np.testing.assert_allclose(
        found.values.astype(np.float32), expected.reshape(-1).astype(np.float32), atol=1e-6
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": [6, 2], "data": [0] * 12}, "tokens of the prompt - 1"),
        ({"dtype": "float32"}, "must be int64"),
        ({"data": [0] * 13}, "13 ids for"),
        ({"data": [-1] * 14}, "one id at least"),
        ({"data": [0] * 13 + [10**6]}, "tokens are 0 to"),
        ({"data": [0] * 13 + [1.5]}, "whole numbers"),
        ({"sparse_crow_indices": [0] * 8, "sparse_col_indices": [0] * 14}, "no sparse matrix"),
        ({"sparse_crow_indices": [0, *[14] * 7], "sparse_col_indices": [2] * 14}, "no sparse"),
    ],
)
def test_chosen_tokens_that_are_no_matrix_of_tokens_fail(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    asked = {"dtype": "int64", "shape": [7, 2], "data": [0] * 14, **changed}

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            with pytest.raises(OperationFailed, match=message):
                await asking.sample(sampler, HELLO, target_prompt_logprobs=asked)

    asyncio.run(through_the_server())


def test_tokens_are_drawn_for_each_place_of_a_prompt(tmp_path: Path) -> None:
    """As often as they are likely at the temperature; their log-probabilities are the model's."""

    async def through_the_server() -> list[Samples]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            prompt, found = [3, 1] * 20, []
            for seq, (k, heat) in enumerate([(100, 2.0), (100, 2.0), (5, 0.0)]):
                params = {"temperature": heat, "max_tokens": 1}
                drawn = asking.sample(sampler, prompt, 1, seq, params, prompt_alt_tokens_k=k)
                found.append(await drawn)
            return found

    first, again, coldest = (one.alternatives for one in asyncio.run(through_the_server()))
    assert first is not None
    assert again is not None
    assert coldest is not None
    logprobs, before = table_of_the_toy(), np.asarray([3, 1] * 20)[:-1]
    np.testing.assert_array_equal(first.tokens, again.tokens)
    np.testing.assert_allclose(first.logprobs, logprobs[before[:, None], first.tokens], atol=1e-6)
    assert (coldest.tokens == logprobs.argmax(axis=1)[before][:, None]).all()
    for token in (3, 1):
        expected = np.exp(logprobs[token] / 2.0)
        expected /= expected.sum()
        drawn = first.tokens[before == token].reshape(-1)
        counts = np.bincount(drawn, minlength=len(expected)) / len(drawn)
        assert np.abs(counts - expected).max() < 4 * np.sqrt(expected.max() / len(drawn))


def test_training_goes_on_beside_a_sampler_that_does_not_move(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await asking.model(session)
            kept = await asking.do("save_weights_for_sampler", model, path="before")
            sampler = await asking.sampler(session, model_path=kept["path"])
            before = await asking.sample(sampler, HELLO)
            await asking.learn(model, [datum(HELLO)])
            await asking.step(model, 5.0)
            after = await asking.sample(sampler, HELLO, seq=1)
            assert before.completions[0].tokens.tolist() == after.completions[0].tokens.tolist()

    asyncio.run(through_the_server())


def test_requests_at_once_share_a_batch_and_get_what_each_gets_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counting(snapshot, requests, on_token):  # type: ignore[no-untyped-def]  # watched
        sizes.append(len(requests))
        return sample_together(snapshot, requests, on_token)

    monkeypatch.setattr("customize_tinker.service.sample_together", counting)

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            prompts = [[n, n + 1] for n in range(20)]
            together = await asyncio.gather(
                *(asking.sample(sampler, one, seq=n) for n, one in enumerate(prompts))
            )
            assert max(sizes) > 1
            for n, one in enumerate(prompts):
                alone = await asking.sample(sampler, one, seq=100 + n)
                found = together[n].completions[0].tokens.tolist()
                assert found == alone.completions[0].tokens.tolist()

    asyncio.run(through_the_server())


def test_one_bad_prompt_fails_alone(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            given = await asyncio.gather(
                *(asking.sample(sampler, one, seq=n) for n, one in enumerate([[1], [10**6], [2]])),
                return_exceptions=True,
            )
            assert [isinstance(one, OperationFailed) for one in given] == [False, True, False]

    asyncio.run(through_the_server())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"topk_prompt_logprobs": 101}, "topk_prompt_logprobs must be from 0 to 100"),
        ({"prompt_alt_tokens_k": 101}, "prompt_alt_tokens_k must be from 0 to 100"),
        ({"record_stability_info": True}, "stable_reinforce, whose form is not published"),
        ({"something_new": 1}, "does not know something_new"),
        ({"sampling_params": {"top_p": 2}}, "top_p must be"),
        ({"sampling_params": {"min_p": 0.1}}, "does not know sampling_params.min_p"),
        ({"prompt": {"chunks": [{"type": "image", "data": ""}]}}, "takes text"),
    ],
)
def test_what_is_not_offered_fails_by_name(
    tmp_path: Path, asked: dict[str, object], message: str
) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            prompt = {"chunks": [{"type": "encoded_text", "tokens": HELLO}]}
            sent = {"sampling_session_id": sampler, "seq_id": 0, "prompt": prompt, **asked}
            said = await asking.told("asample", **sent)
            with pytest.raises(OperationFailed, match=message):
                await asking.result(said["request_id"])

    asyncio.run(through_the_server())


def test_the_oldest_unnamed_samplers_make_room_for_the_newest(tmp_path: Path) -> None:
    async def through_the_server() -> list[int]:
        async with serving(tmp_path, limits=Limits(samplers=2)) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await asking.model(session)
            for n in range(4):
                await asking.do("save_weights_for_sampler", model, sampling_session_seq_id=n)
            ids = [f"{session}:sample:{n}" for n in range(4)]
            return [(await asking.request("GET", f"samplers/{id}")).status for id in ids]

    assert asyncio.run(through_the_server()) == [404, 404, 200, 200]


def test_samplers_go_with_their_session(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await asking.model(session)
            kept = await asking.do("save_weights_for_sampler", model, sampling_session_seq_id=0)
            await asking.told(f"sessions/{session}/finish", reason={"type": "success"})
            await asking.step(model)  # after what the end of the session asked for
            found = await asking.request("GET", f"samplers/{kept['sampling_session_id']}")
            assert found.status == 404
        assert not list(tmp_path.rglob("samplers/*"))

    asyncio.run(through_the_server())


def test_a_snapshot_that_was_closed_is_opened_from_its_files(tmp_path: Path) -> None:
    """What a batch of it says is what the session said."""

    async def through_the_server() -> list[int]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            await asking.learn(model, [datum(HELLO)])
            await asking.step(model, 1.0)
            kept = await asking.do("save_weights_for_sampler", model, sampling_session_seq_id=0)
            given = await asking.sample(kept["sampling_session_id"], HELLO)
            return given.completions[0].tokens.tolist()  # type: ignore[no-any-return]

    said = asyncio.run(through_the_server())
    (folder,) = tmp_path.rglob("samplers/*/adapter")
    engine = ToyBackend().load()
    snapshot = engine.open(folder)
    ((found,),) = snapshot.sample([Prompt(HELLO, seed=5)], Sampling(max_tokens=8)).result()
    assert found.tokens.tolist() == said
