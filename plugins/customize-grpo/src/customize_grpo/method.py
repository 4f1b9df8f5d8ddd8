"""GRPO and its family: the whole algorithm. Knows sessions and episodes, no device and no folder.

Shape legend: E episodes, N tokens of a batch, K tokens that were sampled.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from customize import (
    AdamW,
    Batch,
    Dataset,
    Episode,
    Session,
    Snapshot,
    Step,
    options,
    schedule_factor,
)
from customize_grpo.algebra import Numbers, to_go
from customize_grpo.choices import Choices
from customize_grpo.gathering import Gathered, Gatherer, counted, learnable
from customize_grpo.validating import passes
from customize_grpo.warning import warned
from customize_grpo.watching import of_base, of_episodes, of_updates, seconds_of

_START = "start"


@options
class GRPO(Choices):
    """From rewards: more of what did better than its siblings, less of what did worse.

    Each step samples a group of episodes for each of some prompts, lets an environment judge them,
    and takes ``updates`` steps along the gradient. Groups without any difference teach nothing:
    they are left out of the loss and of what it is divided by, and no pass is spent on them.
    """

    data: ClassVar[str] = "prompt"
    needs: ClassVar[frozenset[str]] = frozenset({"forward_backward", "sample"})
    records: ClassVar[tuple[str, ...]] = ("episodes",)

    def needed(self) -> frozenset[str]:
        watching = {"base"} if self.watch_kl else set()
        return self.needs | watching | ({"snapshot"} if self.kl else set())

    def num_steps(self, data: Dataset) -> int:
        """Steps for these rows."""
        return self.steps or max(1, -int(-self.epochs * len(data) // self.batch_size))

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        self.check_rows(data)
        if resume is None:
            self.check_scale()
        self.check_played(data)
        self.announced()
        environment = self.played()
        state = dict(resume.state) if resume else {}
        if self.kl and resume is None:
            session.snapshot(_START)
        gatherer = Gatherer(self, environment, data, session.seed, state)
        total = self.num_steps(data)
        for number in range(1 if resume is None else resume.number + 1, total + 1):
            gathered = gatherer.next(session, number, total)
            began = time.perf_counter()
            seen = self._seen(session, gathered)
            looked = time.perf_counter()
            learnt, advantages = self._learn(session, gathered, number, total)
            seconds = {
                **seconds_of(gathered),
                "watching": looked - began,
                "training": time.perf_counter() - looked,
            }
            metrics = {**seen, **learnt}
            watched = warned(state.get("watched", {}), metrics, number)
            state = {**gatherer.state(), "watched": watched}
            records = {"episodes": _told(self, gathered, advantages)}
            yield Step(number, metrics, state, records, seconds)

    def retake(
        self,
        session: Session,
        number: int,
        total: int,
        records: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> Step:
        """A step again, from its episodes: nothing is sampled and nothing judged."""
        if self.kl and number == 1:
            session.snapshot(_START)
        rows = records["episodes"]
        version = rows[0]["version"] if rows else number - 1
        gathered = Gathered([Episode.from_json(row) for row in rows], version, 0.0)
        seen = self._seen(session, gathered)
        learnt, _ = self._learn(session, gathered, number, total)
        return Step(number, {**seen, **learnt})

    def validate(self, snapshot: Snapshot, rows: Dataset) -> Mapping[str, float]:
        """``validation_loss``, the mean reward's negative; then pass@1 and pass@k."""
        return passes(self, self.played(), snapshot, rows)

    def _seen(self, session: Session, gathered: Gathered) -> dict[str, float]:
        """Metrics of the episodes, before anything is learnt of them."""
        seen = of_episodes(self, gathered)
        return {**seen, **of_base(self, session.base(), gathered)} if self.watch_kl else seen

    def _learn(
        self, session: Session, gathered: Gathered, number: int, total: int
    ) -> tuple[dict[str, float], Mapping[tuple[int, int], float]]:
        """Metrics of the updates, and each episode's advantage by (group, index)."""
        rate = self.lr * schedule_factor(self.schedule, number, total, self.warmup)
        metrics = {"lr": rate}
        episodes = learnable(self, gathered.episodes)
        if not episodes:
            return {**metrics, "loss": 0.0, "grad_norm": 0.0, "trained_tokens": 0.0}, {}
        batch, advantage_E = self._batch(session, episodes)
        outputs, norms = [], []
        for _ in range(self.updates):
            outputs.append(session.forward_backward(batch, self.objective()))
            norms.append(
                session.optim_step(
                    AdamW(lr=rate, weight_decay=self.weight_decay, max_grad_norm=self.max_grad_norm)
                )
            )
        done = [output.result() for output in outputs]
        metrics |= of_updates(self, batch, [output.logprobs for output in done])
        metrics |= {"loss": done[-1].loss, "grad_norm": max(norm.result() for norm in norms)}
        named = {(e.group, e.index): float(a) for e, a in zip(episodes, advantage_E, strict=True)}
        return metrics, named

    def _batch(self, session: Session, episodes: Sequence[Episode]) -> tuple[Batch, Numbers]:
        """Sequences with their columns, and each episode's advantage, the mean of its tokens'."""
        owner_S = [i for i, episode in enumerate(episodes) for _ in episode.sequences]
        spoken = [sequence for episode in episodes for sequence in episode.sequences]
        groups = np.unique([e.group for e in episodes], return_inverse=True)[1]
        columns = [
            {"weights": one.sampled, "sampling_logprobs": one.logprobs, "advantages": one.logprobs}
            for one in spoken
        ]
        batch = Batch.from_sequences(
            [(one.tokens, c) for one, c in zip(spoken, columns, strict=True)],
            sequence_columns={"row": [1 + episodes[owner].place for owner in owner_S]},
            groups=groups[owner_S],
        )
        owner_K = np.repeat(owner_S, batch.lengths)[batch.scored]
        kl_K = np.zeros(len(owner_K))
        if self.kl:
            reference = session.named_snapshot(_START).forward(batch).result()
            batch = batch.with_columns(reference_logprobs=reference)
            policy_N = np.concatenate([one.policy_logprobs for one in spoken])
            away_N = policy_N.astype(np.float64) - reference
            kl_K = float(self.kl) * away_N[batch.scored]
        advantage_K = self._advantages(episodes, groups, owner_K, kl_K)
        length_E = np.array([episode.num_sampled for episode in episodes], np.float64)
        weight_E = self.algebra().weight_of_a_token(length_E, groups)
        columns_N = {name: np.zeros(batch.num_tokens) for name in ("weights", "advantages")}
        columns_N["weights"][batch.scored] = weight_E[owner_K]
        columns_N["advantages"][batch.scored] = advantage_K
        return batch.with_columns(**columns_N), np.bincount(owner_K, advantage_K) / length_E

    def _advantages(
        self, episodes: Sequence[Episode], groups: Any, owner_K: Any, kl_K: Numbers
    ) -> Numbers:
        """Of each token; ``kl_K`` is the weighted log-ratio to the reference."""
        algebra = self.algebra()
        reward_E = np.array([episode.reward for episode in episodes], np.float64)
        length_E = np.array([episode.num_sampled for episode in episodes], np.float64)
        if self.kl_as == "reward":
            reward_E = reward_E - np.bincount(owner_K, weights=kl_K, minlength=len(reward_E))
        advantage_E = algebra.centred(reward_E, length_E, groups)
        advantage_E = algebra.scaled(advantage_E, reward_E, groups)
        advantage_K = advantage_E[owner_K]
        if self.kl_as == "to_go":
            for owner in np.unique(owner_K):
                own = owner_K == owner
                advantage_K[own] -= to_go(kl_K[own])
        return algebra.whitened(advantage_K)


def _told(
    choices: Choices, gathered: Gathered, advantages: Mapping[tuple[int, int], float]
) -> list[dict[str, Any]]:
    """Every episode as it is kept, with the reward that counted; one that taught nothing has no
    advantage."""
    rewards = {(e.group, e.index): e.reward for e in counted(choices, gathered.episodes)}
    return [
        {
            **episode.to_json(),
            "version": gathered.version,
            "counted": rewards.get((episode.group, episode.index)),
            "advantage": advantages.get((episode.group, episode.index)),
        }
        for episode in gathered.episodes
    ]
