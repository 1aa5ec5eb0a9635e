"""What could decide on board, compared on the moves alone: python bench/deciders.py [--half held].

Each is asked about the situations of eval/situations.jsonl; what is said does not count here. Those
that need a package that is not here are left out: sparrow-decider, wordllama.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from reflexarc.config import RobotConfig
from reflexarc.errors import LLMError
from reflexarc.eval.judges import Nearest
from reflexarc.eval.score import Share
from reflexarc.eval.situations import Situation, load_situations
from reflexarc.onboard.classifier import Classifier
from reflexarc.onboard.decider import Decider
from reflexarc.onboard.decision import is_moved
from reflexarc.onboard.encoder import Encoder
from reflexarc.onboard.hearing import listen, plain, wishes
from reflexarc.onboard.models import DEFAULT, ModelStore, default_root, find
from reflexarc.onboard.phrasebook import phrasebook
from reflexarc.onboard.vectors import Vectors
from reflexarc.prompt import Prompt
from reflexarc.registry import load_llm
from reflexarc.types import Action
from reflexarc.vocabulary import Vocabulary

ROOT = Path(__file__).parents[1]
COMMANDS = ("simple", "paraphrase", "two")
Decide = Callable[[str], Sequence[Action]]


class Robot:
    """One of the robots, and what it moves."""

    def __init__(self, name: str) -> None:
        self.config = RobotConfig.load(ROOT / "config" / f"{name}_onboard.json5")
        self.vocabulary = Vocabulary.from_actions(self.config.agent_actions)
        self.moved = {spec.type for spec in self.vocabulary.specs if is_moved(spec)}
        idle = phrasebook().idle(self.vocabulary)
        assert idle is not None
        self.idle = idle
        self.examples = self.config.examples

    def is_right(self, situation: Situation, actions: Sequence[Action]) -> bool:
        """Whether the moves are right."""
        moves = [action for action in actions if action.type in self.moved]
        accept = tuple(
            tuple(each for each in actions if each.type in self.moved)
            for actions in situation.accept
        )
        allow = {kind: values for kind, values in situation.allow.items() if kind in self.moved}
        moved = situation.model_copy(update={"accept": accept, "allow": allow, "say": None})
        return not moved.mistake(moves or [self.idle], None)


class Silent:
    """Vectors that know no meaning."""

    def __call__(self, texts: Sequence[str]) -> Any:
        return np.zeros((len(texts), 1), np.float32)

    def keep(self, texts: Sequence[str]) -> None:
        """Nothing to keep."""


class Static(Silent):
    """Vectors of a static embedding."""

    def __init__(self) -> None:
        import wordllama  # noqa: PLC0415 - only where it is

        # Else it looks for its tokenizer on a hub.
        folder = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def __call__(self, texts: Sequence[str]) -> Any:
        return self._model.embed(list(texts), norm=True).astype(np.float32)


class Meaning(Classifier[Any]):
    """A classifier to which words are nothing but what they mean."""

    def _alike(self, texts: Sequence[str]) -> Any:
        alike = (self._encode(texts) @ self._vectors.T).astype(np.float64)
        return alike * np.abs(alike)


class Wordless(Decider):
    """A decider with such a classifier."""

    make_classifier = Meaning


def of(decider: Decider) -> Decide:
    """The moves of a decider."""
    return lambda sensed: decider.decide(sensed).moves


def nearest_phrase(robot: Robot, vectors: Any) -> Decide:
    """What the one phrase means that is most alike in meaning."""
    decider = Decider(robot.vocabulary, robot.examples, vectors)
    labels, texts = zip(*decider._labelled(), strict=True)
    known = vectors(texts)

    def decide(sensed: str) -> Sequence[Action]:
        said = listen(sensed).said
        if not said:
            return ()
        label = labels[int((known @ vectors([plain(said)])[0]).argmax())]
        return (label,) if isinstance(label, Action) else ()

    return decide


def sparrow(robot: Robot, name: str) -> Decide:
    """An option picker; each wish by itself."""
    from sparrow_decider import Decider as Picker  # noqa: PLC0415 - only where it is

    picker = Picker.load(name)
    options = {
        f"{spec.type} {value}": (Action(type=spec.type, value=value), f"the robot is to {value}")
        for spec in robot.vocabulary.specs
        if is_moved(spec)
        for value in spec.values or ()
    }
    criteria = {name: text for name, (_, text) in options.items()}
    criteria["nothing"] = "small talk, or a request that is dangerous, impossible or nonsense"
    question = {"type": "choice", "instructions": "What is the robot to do?", "criteria": criteria}

    def decide(sensed: str) -> Sequence[Action]:
        heard = listen(sensed)
        found = []
        for wish in wishes(heard.said) if heard.said else ():
            _, names, _, fits = picker.probs(f"{heard.scene} A person says: {wish}", question)
            name = names[int(np.argmax(fits))]
            if name in options:
                found.append(options[name][0])
        return list(dict.fromkeys(found))

    return decide


def candidates(robot: Robot) -> Iterator[tuple[str, Callable[[], Decide]]]:
    """All that are compared, by name; made when it is their turn."""
    folder = find(DEFAULT, ModelStore(default_root(os.environ))).encoder
    assert folder is not None, "run: reflexarc models pull"
    vectors = Vectors(Encoder(folder))
    vocabulary, examples = robot.vocabulary, robot.examples
    yield "nothing", lambda: lambda _: ()
    yield "nearest example, by words", lambda: Nearest(examples).actions
    if find_spec("sparrow_decider"):
        yield "sparrow nano-general", lambda: sparrow(robot, "nano-general")
        yield "sparrow nano-robot", lambda: sparrow(robot, "nano-robot")
    yield "nearest phrase, by meaning", lambda: nearest_phrase(robot, vectors)
    yield "classifier, words alone", lambda: of(Decider(vocabulary, examples, Silent()))  # type: ignore[arg-type]
    if find_spec("wordllama"):
        yield "classifier, words + wordllama", lambda: of(Decider(vocabulary, examples, Static()))  # type: ignore[arg-type]

    def meaning_alone() -> Decide:
        return of(Wordless(vocabulary, examples, vectors))

    yield "classifier, meaning alone", meaning_alone
    yield "classifier, no examples", lambda: of(Decider(vocabulary, (), vectors))
    yield "classifier, words + meaning", lambda: of(Decider(vocabulary, examples, vectors))


async def by_model(robot: Robot, situations: Sequence[Situation]) -> list[bool]:
    """The language model in the line form, as it is without an encoder."""
    with TemporaryDirectory() as data:
        store = ModelStore(default_root({"XDG_DATA_HOME": data}))
        path = store.path(DEFAULT)
        path.parent.mkdir(parents=True)
        path.symlink_to(ModelStore(default_root(os.environ)).path(DEFAULT))
        environ = {"XDG_DATA_HOME": data, "XDG_CACHE_HOME": data}
        prompt = Prompt.for_robot(robot.config)
        right: list[bool] = []
        async with load_llm(
            robot.config.cortex_llm, actions=robot.vocabulary, environ=environ
        ) as llm:
            await llm.warm(prompt)
            for situation in situations:
                done: list[Action] = []
                with suppress(LLMError):
                    async for action in llm.act(prompt.at(situation.text)):
                        done.append(action)  # noqa: PERF401 - what was done before a failure counts
                right.append(robot.is_right(situation, done))
        return right


def row(name: str, situations: Sequence[Situation], right: Sequence[bool], took_s: float) -> str:
    """One line of the table."""
    commands = [ok for each, ok in zip(situations, right, strict=True) if each.category in COMMANDS]
    refused = [ok for each, ok in zip(situations, right, strict=True) if each.category == "refuse"]
    whole, command = Share(sum(right), len(right)), Share(sum(commands), len(commands))
    low, high = command.interval
    return (
        f"{name:<32} {whole.right:4}/{whole.of} {100 * whole.accuracy:4.0f} %   "
        f"{command.right:4}/{command.of} {100 * command.accuracy:4.0f} % "
        f"({100 * low:.0f} to {100 * high:.0f})   {sum(refused):3}/{len(refused)}   "
        f"{1e3 * took_s / len(right):7.1f} ms"
    )


def main() -> None:
    """Ask all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("tune", "held"), default="tune")
    parser.add_argument("--file", type=Path, default=ROOT / "eval" / "situations.jsonl")
    wanted = parser.parse_args()
    found = [each for each in load_situations(wanted.file) if each.half == wanted.half]
    robots = {name: Robot(name) for name in sorted({each.robot or "" for each in found})}
    mine = {name: [each for each in found if each.robot == name] for name in robots}
    asked = [each for name in robots for each in mine[name]]
    print(f"{'':<32} {'all':>8} {'':9} {'commands':>8} {'':20} {'refuse':>8} {'each':>10}")
    makers = {name: dict(candidates(robot)) for name, robot in robots.items()}
    for candidate in next(iter(makers.values())):
        right: list[bool] = []
        took_s = 0.0
        for name, robot in robots.items():
            decide = makers[name][candidate]()
            begun = time.perf_counter()
            right += [robot.is_right(each, decide(each.text)) for each in mine[name]]
            took_s += time.perf_counter() - begun
        print(row(candidate, asked, right, took_s), flush=True)
    begun = time.perf_counter()
    right = [
        ok for name, robot in robots.items() for ok in asyncio.run(by_model(robot, mine[name]))
    ]
    print(row("SmolLM2-135M, line form", asked, right, time.perf_counter() - begun))


if __name__ == "__main__":
    main()
