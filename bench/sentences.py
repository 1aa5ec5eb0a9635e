"""Whether what is said on board fits what is done: python bench/sentences.py [--show].

Twenty plain commands and twelve lines of small talk for each of five robots: the three of config/,
the one of docs/start.md, and the dog that ``reflexarc om1 install`` writes. They were written for
this, and none is taken from eval/situations.jsonl. A sentence is judged by its words alone:

contradicts  it declines where something was done (no, not, sorry, cannot, …; standing still may be
             told with a "not"), or names only values that were not done
fits         else, if it names each value that was done, or only agrees (Okay. Sure!)
half         else, if it names one of two
beside it    else

Small talk contradicts where it names a value that was not done, and fits else.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from reflexarc import Prompt, RobotConfig, Vocabulary, load_llm
from reflexarc.om1.examples import robot as dog_of_om1
from reflexarc.onboard.decision import is_moved
from reflexarc.onboard.phrasebook import phrasebook
from reflexarc.types import Action, ActionReady, Finished

ROOT = Path(__file__).parents[1]

# What names a value; those that are not here are named by their own words.
WORDS = {
    "stand still": r"still|hold\w*|stop\w*|stay\w*|wait\w*|stand\w*",
    "stop": r"stop\w*|halt\w*|wait\w*|stand\w*|still|stay\w*",
    "stay": r"stay\w*|stop\w*|wait\w*|still",
    "sit": r"sit\w*|seat",
    "walk": r"walk\w*|forward|com(?:e|ing)",
    "walk back": r"back\w*|room|space",
    "run": r"run\w*|fast|race|rac\w+",
    "jump": r"jump\w*|leap\w*|hop\w*",
    "dance": r"danc\w*|to the music",
    "shake paw": r"paws?|shak\w+",
    "wag tail": r"tail|wag\w*",
    "forward": r"forwards?|ahead|straight|driv\w+ on",
    "back": r"back\w*|revers\w*",
    "backward": r"back\w*|revers\w*",
    "turn left": r"left",
    "turn right": r"right(?! (?:now|away|here|there|behind|after|with))",
    "turn around": r"around|round",
    "follow": r"follow\w*|com\w+ (?:along )?with|behind you|after you",
    "go to dock": r"dock|charg\w+|battery",
    "go home": r"home|place|position",
    "reach forward": r"reach\w*|extend\w*|stretch\w*",
    "pull back": r"pull\w*|withdr\w+|retract\w*|back",
    "raise": r"rais\w+|up|higher|lift\w*",
    "lower": r"lower\w*|down",
    "open": r"open\w*|put\w*|handing|let go|releas\w+|drop\w*|here you are",
    "close": r"clos\w+|clamp\w*|grip\w*|grab\w*|hold\w*|have it|got it|tak\w+",
    "on": r"on",
    "off": r"off",
}
DECLINES = re.compile(
    r"\b(?:no|not|never|cannot|sorry|unable|afraid|nothing)\b|n't\b", re.IGNORECASE
)
AGREES = re.compile(
    r"(?:(?:okay|ok|yes|sure|of course|right away|here you are|thank you)[ ,.!]*)+", re.IGNORECASE
)

COMMANDS = {
    "spot": """
        could you please sit down | take a seat beside me | back up a bit | go backwards, please
        stop it | don't move | let's have a dance | run as quick as you can | show me a jump
        give us your paw | walk over here and sit down | wag your tail and then jump
        sit yourself down, buddy | make some room for me | let us see you leap | stay put
        shake hands with the lady | come over to me | dash to the door | move to the music
    """,
    "picker": """
        lift the arm a bit | come down with the arm | turn right, please | swing round to your left
        open the gripper | grab that bolt | hold still | pull the arm in | stretch out to me
        go back to your rest position | raise the arm and open the gripper
        close your hand and go left | put it down there | a little lower | hand me the wrench
        keep your position | swivel to the right | go up some more | withdraw the arm
        clamp that pipe
    """,
    "rover": """
        go forward a little | back up a bit | please turn right | turn left | turn around
        come along with me | lights off, please | switch on the lights | stop there
        time to recharge | turn right and then go forward | switch the lights on and follow me
        reverse, please | head for the charger | light up the corridor | no more lights
        bear to the left | spin round | stay behind me | wait here
    """,
    "start": """
        back up a bit | please turn left | turn right | go forward and then stop | drive forward
        move ahead, please | stop | go back | halt right there | could you turn to the right
        turn left and then drive forward | make a left turn, please | reverse a little | halt
        swing to the left | go straight on | back off, then turn left | to the right, please
        come forward | freeze
    """,
    "om1": """
        please sit down | sit | walk a bit | back up, please | stand still | stop that
        jump for me | can you dance | run over there | give me a paw | wag your tail, please
        sit down and then shake hands | have a seat | boogie for us | hop up | hurry to the gate
        make room | swish your tail | hold it | come here and give me your paw
    """,
}
TALK = """
    good morning | what is your name | thanks, that was nice | do you like your work
    how are you doing | you look great today | I like music | goodbye
    hello there | I had a bad day | who built you | see you later
"""


def split(text: str) -> list[str]:
    """What is said, of a block of it."""
    return [each.strip() for each in re.split(r"[|\n]", text.strip())]


def robots() -> dict[str, RobotConfig]:
    """Each robot by its name here."""
    page = (ROOT / "docs" / "start.md").read_text()
    [rover] = re.findall(r"```json5\n(.*?)```", page, re.DOTALL)
    (found := ROOT / "build" / "sentences").mkdir(parents=True, exist_ok=True)
    (found / "rover.json5").write_text(rover)
    shipped = {
        name: RobotConfig.load(ROOT / "config" / f"{name}_onboard.json5", {})
        for name in ("spot", "picker", "rover")
    }
    return {
        **shipped,
        "start": RobotConfig.load(found / "rover.json5", {}),
        "om1": RobotConfig.model_validate(dog_of_om1("spot_onboard", "A")),
    }


def judge(sentence: str, done: list[Action], vocabulary: Vocabulary, *, is_talk: bool) -> str:
    """How a sentence goes with what was done."""

    def names(value: str) -> bool:
        return re.search(rf"\b(?:{WORDS.get(value, value)})\b", sentence, re.IGNORECASE) is not None

    idle = phrasebook().idle(vocabulary)
    deeds = {each.value for each in done}
    values = {value for spec in filter(is_moved, vocabulary.specs) for value in spec.values or ()}
    others = {value for value in values - deeds if not any(value in deed for deed in deeds)}
    is_still = deeds <= {idle.value if idle else ""}
    declines = DECLINES.search(sentence) is not None
    if not is_talk and declines and (not is_still or sentence.lower().startswith("no")):
        return "contradicts"
    if any(map(names, others)) and not any(map(names, deeds)):
        return "contradicts"
    if is_talk or all(map(names, deeds)) or AGREES.fullmatch(sentence):
        return "fits"
    return "half" if any(map(names, deeds)) else "beside it"


@dataclass
class Told:
    """What was found."""

    commands: Counter[str] = field(default_factory=Counter[str])
    talk: Counter[str] = field(default_factory=Counter[str])
    first_s: list[float] = field(default_factory=list[float])
    total_s: list[float] = field(default_factory=list[float])


async def ask(name: str, robot: RobotConfig, told: Told, *, show: bool) -> None:
    """Say all to one robot."""
    vocabulary = Vocabulary.from_actions(robot.agent_actions)
    moved = {spec.type for spec in vocabulary.specs if is_moved(spec)}
    speaker = "Voice" if name == "om1" else "A person says"
    lines = [(said, told.commands) for said in split(COMMANDS[name])]
    lines += [(said, told.talk) for said in split(TALK)]
    async with load_llm(robot.cortex_llm, actions=vocabulary) as llm:
        prompt = Prompt.for_robot(robot)
        await llm.warm(prompt)
        for said, verdicts in lines:
            events = [each async for each in llm.stream(prompt.at(f"{speaker}: {said}"))]
            actions = [each.action for each in events if isinstance(each, ActionReady)]
            [end] = [each for each in events if isinstance(each, Finished)]
            done = [each for each in actions if each.type in moved]
            sentence = " ".join(each.value for each in actions if each.type == vocabulary.speech)
            verdict = judge(sentence, done, vocabulary, is_talk=verdicts is told.talk)
            verdicts[verdict] += 1
            told.first_s.append(end.first_action_s or 0.0)
            told.total_s.append(end.total_s)
            if show:
                deeds = ", ".join(each.value for each in done)
                line = f"{name:7}{verdict:12}{said:36}{deeds:22}{sentence}  {end.total_s:.2f} s"
                print(line, flush=True)


async def main(*, show: bool) -> None:
    """Say all to all, and print the shares."""
    told = Told()
    for name, robot in robots().items():
        await ask(name, robot, told, show=show)
    for title, counts in (("commands", told.commands), ("small talk", told.talk)):
        shares = [f"{counts[each]} {each}" for each in ("fits", "half", "beside it", "contradicts")]
        print(f"{title}: {', '.join(shares)}, of {counts.total()}")
    first_ms, total_s = median(told.first_s) * 1000, median(told.total_s)
    print(f"first action p50 {first_ms:.0f} ms, sentence p50 {total_s:.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", action="store_true", help="print every sentence")
    asyncio.run(main(show=parser.parse_args().show))
