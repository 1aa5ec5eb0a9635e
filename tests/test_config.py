"""A configuration is OM1's, frozen and complete, or an error that says what to write instead."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import json5
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reflexarc.config import LLMConfig, RobotConfig, parse_llm, validate
from reflexarc.errors import ConfigError, did_you_mean
from reflexarc.source import Source, expand
from reflexarc.types import Action

SECRET = "sk-4f1c2d3e4b5a6978"

# OM1's shape, written from its config/spot.json5 and the fields of its schema (2025-08 snapshot).
SPOT = """{
  "hertz": 0.5,
  "name": "spot",
  "api_key": "openmind_free",
  "URID": "default",
  "unitree_ethernet": "en0",
  "system_prompt_base": "You are a dog.",
  "system_governance": "First law.",
  "system_prompt_examples": "If told to sit, sit.",
  "agent_inputs": [
    {"type": "VLM_COCO_Local", "config": {"camera_index": 0}},
    {"type": "WalletEthereum"}
  ],
  "cortex_llm": {
    "type": "MistralLLM",
    "config": {
      "agent_name": "Spot",
      "history_length": 10
    }
  },
  "simulators": [{"type": "WebSim"}],
  "agent_actions": [
    {"name": "move", "llm_label": "move", "implementation": "passthrough", "connector": "ros2"},
    {"name": "speak", "llm_label": "speak", "connector": "elevenlabs_tts",
     "config": {"voice_id": "x"}, "exclude_from_prompt": false}
  ]
}
"""

SMALL = """{
  hertz: 1, name: "spot",
  cortex_llm: {type: "MistralLLM"},
  agent_actions: [{name: "speak", llm_label: "speak"}],
}"""


def robot(text: str, environ: dict[str, str] | None = None) -> RobotConfig:
    """Read a robot from text."""
    source = Source(text, "spot.json5")
    return validate(RobotConfig, source.parse(), source, environ or {})


def refused(text: str, environ: dict[str, str] | None = None) -> ConfigError:
    """The error that reading a robot ends in."""
    with pytest.raises(ConfigError) as caught:
        robot(text, environ)
    return caught.value


def test_a_robot_of_om1_is_read_as_it_is(tmp_path: Path) -> None:
    """OM1's file needs no change: its nested LLM settings, inputs, actions and runtime fields."""
    path = tmp_path / "spot.json5"
    path.write_text(SPOT)
    spot = RobotConfig.load(path, {})
    assert (spot.name, spot.hertz, spot.URID) == ("spot", 0.5, "default")
    assert spot.cortex_llm == LLMConfig(type="MistralLLM", agent_name="Spot", history_length=10)
    assert [(one.type, one.config) for one in spot.agent_inputs] == [
        ("VLM_COCO_Local", {"camera_index": 0}),
        ("WalletEthereum", {}),
    ]
    assert [(one.name, one.connector) for one in spot.agent_actions] == [
        ("move", "ros2"),
        ("speak", "elevenlabs_tts"),
    ]
    assert spot.simulators[0].type == "WebSim"


def test_unquoted_keys_comments_and_our_additions_are_read() -> None:
    """JSON5 as OM1's newer files have it, `$schema` for editors, and examples as data."""
    text = SMALL.replace(
        "hertz: 1",
        """$schema: "./schema.json", // for the editor
        examples: [{sensed: "sit!", actions: [{type: "speak", value: "ok"}]}], hertz: 1""",
    )
    (sensed,) = robot(text).examples
    assert (sensed.sensed, sensed.actions) == ("sit!", (Action(type="speak", value="ok"),))
    assert robot(text).schema_ == "./schema.json"


def test_the_flat_form_of_llm_settings_is_read() -> None:
    """The settings may stand beside `type` or under `config`."""
    flat = parse_llm('{type: "LlamaLLM", model: "m", base_url: "http://h:1/v1/"}', {})
    nested = parse_llm('{type: "LlamaLLM", config: {model: "m", base_url: "http://h:1/v1"}}', {})
    assert flat == nested == LLMConfig(type="LlamaLLM", model="m", base_url="http://h:1/v1")


def test_another_llm_takes_the_place_of_the_file_s(tmp_path: Path) -> None:
    """With `llm` the file's own brain is not looked at, nor the variables it names."""
    path = tmp_path / "spot.json5"
    path.write_text(SMALL.replace('"MistralLLM"', '"MistralLLM", api_key: "${UNSET}"'))
    llm = '{type: "LlamaLLM", model: "${MODEL}", base_url: "http://127.0.0.1:8080"}'
    brain = RobotConfig.load(path, {"MODEL": "x"}, llm=llm).cortex_llm
    assert (brain.type, brain.model, brain.base_url) == ("LlamaLLM", "x", "http://127.0.0.1:8080")
    with pytest.raises(
        ConfigError, match=r"^--llm:1:19: unknown key 'modle'; did you mean 'model'"
    ):
        RobotConfig.load(path, {}, llm='{type: "LlamaLLM", modle: "x"}'.replace(", ", ","))
    with pytest.raises(ConfigError, match="UNSET"):
        RobotConfig.load(path, {})


# --- variables ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "environ", "expected"),
    [
        ("${NAME}", {"NAME": "spot"}, "spot"),
        ("${NAME:-rex}", {"NAME": "spot"}, "spot"),
        ("${NAME:-rex}", {}, "rex"),
        ("${NAME:-rex}", {"NAME": ""}, "rex"),
        ("${NAME:-}", {}, ""),
        ("${NAME:-a:-b}", {}, "a:-b"),
        ("a ${A} b ${B:-2} c", {"A": "1"}, "a 1 b 2 c"),
        ("${A}", {"A": "${B}", "B": "no"}, "${B}"),
        ("${A}", {"A": r"\1 \g<0> \u0041"}, r"\1 \g<0> \u0041"),
        ("$NAME $${NAME", {"NAME": "spot"}, "$NAME $${NAME"),
    ],
)
def test_variables_are_expanded_once(written: str, environ: dict[str, str], expected: str) -> None:
    """`${VAR}` and `${VAR:-default}` are replaced, once; an empty variable counts as unset."""
    assert expand([{"key": written}], environ, Source("", "")) == [{"key": expected}]


@pytest.mark.parametrize("value", ['x", hertz: 99, "y": "', "'", "\n", "}", "\\", "//", "*/ {"])
def test_a_variable_cannot_break_the_file(value: str) -> None:
    """Whatever a variable holds stays in its string: it adds no key and ends no text."""
    spot = robot(SMALL.replace('"spot"', '"${NAME}"'), {"NAME": value})
    assert (spot.name, spot.hertz) == (value, 1)


def test_numbers_may_come_from_variables() -> None:
    """A number in a string is a number where one is asked for."""
    text = SMALL.replace("hertz: 1", 'hertz: "${HERTZ:-2.5}"')
    assert robot(text).hertz == 2.5
    assert robot(text, {"HERTZ": "4"}).hertz == 4


@pytest.mark.parametrize("environ", [{}, {"DOG": ""}])
def test_an_unset_variable_is_named_with_its_place(environ: dict[str, str]) -> None:
    """Unset or empty, without a default: the error has the variable, its place and a way out."""
    error = refused(SMALL.replace('label: "speak"', 'label: "${DOG}"'), environ)
    assert (error.line, error.column) == (4, 35)
    assert "environment variable DOG, which is not set" in str(error)
    assert "${DOG:-a default}" in str(error)


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "says"),
    [
        ('"name"', '"nmae"', 3, 3, "unknown key 'nmae'; did you mean 'name'?"),
        ('"URID"', '"urid"', 5, 3, "unknown key 'urid'; did you mean 'URID'?"),
        ('"history_length"', '"history_lenght"', 18, 7, "did you mean 'history_length'?"),
        ('"connector": "ros2"', '"conector": "ros2"', 23, 76, "did you mean 'connector'?"),
        ('"type": "WebSim"', '"tpye": "WebSim"', 21, 19, "did you mean 'type'?"),
        ('"URID"', '"wheels"', 5, 3, "unknown key 'wheels'; choose one of $schema, URID,"),
        ('"hertz": 0.5', '"hertz": 0', 2, 3, "'hertz': input should be greater than 0"),
        ('"hertz": 0.5', '"hertz": NaN', 2, 3, "'hertz': "),
        ('"hertz": 0.5', '"hertz": Infinity', 2, 3, "'hertz': "),
        ('"hertz": 0.5', '"hertz": true', 2, 3, "'hertz': must be a number"),
        ('"hertz": 0.5', '"hertz": "often"', 2, 3, "'hertz': "),
        ('"hertz": 0.5,', "", 1, 1, "'hertz': field required"),
        ('"type": "MistralLLM",', "", 14, 3, "'cortex_llm.type': field required"),
        ('"history_length": 10', '"history_length": -1', 18, 7, "'cortex_llm.history_length'"),
        (
            '{"camera_index": 0}',
            "5",
            11,
            32,
            "'agent_inputs.0.config': must be an object; write it in braces, { … }",
        ),
        ('"config": {"voice_id": "x"}', '"config": []', 25, 6, "'agent_actions.1.config'"),
        ('"llm_label": "speak"', '"llm_label": 5', 24, 23, "'agent_actions.1.llm_label'"),
        (
            '"simulators": [{"type": "WebSim"}]',
            '"simulators": {}',
            21,
            3,
            "'simulators': must be a list",
        ),
        ('"spot"', '"spot" "rex"', 3, 18, "not JSON5"),
        ('"name"', '"hertz"', 3, 3, "'hertz' is written twice"),
        ('"openmind_free"', '""', 4, 3, "'api_key': is empty"),
    ],
)
def test_a_mistake_is_shown_where_it_stands(
    old: str, new: str, line: int, column: int, says: str
) -> None:
    """Whatever is wrong, at the top or nested, the error has file, line, column and what to do."""
    assert SPOT.count(old) == 1 or old == '"name"'
    error = refused(SPOT.replace(old, new, 1))
    assert says in str(error)
    assert (error.path, error.line, error.column) == ("spot.json5", line, column)
    assert str(error).startswith(f"spot.json5:{line}:{column}: ")


def test_a_robot_without_actions_is_refused() -> None:
    """There is at least one thing a robot can do."""
    assert "'agent_actions'" in str(
        refused(SMALL.replace('{name: "speak", llm_label: "speak"}', ""))
    )


@pytest.mark.parametrize("text", ["[]", "5", "null", '"a"', "true"])
def test_a_file_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    """A configuration is one object."""
    path = tmp_path / "robot.json5"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is one object"):
        RobotConfig.load(path, {})
    with pytest.raises(ConfigError, match="--llm:1:1: "):
        parse_llm(text, {}, name="--llm")


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        *(
            (field, bad)
            for field in ("timeout", "first_action_timeout", "stall_timeout")
            for bad in (math.nan, math.inf, -math.inf, -1, 0, "soon", True, [], {}, 10**400, "nan")
        ),
        *(("max_tokens", bad) for bad in (0, -1, 1.5, math.nan, math.inf, "many", True, None, [])),
        *(("temperature", bad) for bad in (-0.1, 2.1, math.nan, math.inf, "hot", False, [])),
        *(("seed", bad) for bad in (-1, 1.5, math.nan, math.inf, "any", True, [])),
        *(("history_length", bad) for bad in (-1, 0.5, math.nan, "long", True, None)),
        *(("transport", bad) for bad in ("SDK", "", None, 1)),
        *(("structured", bad) for bad in ("yaml", "", None, True)),
        *(
            ("base_url", bad)
            for bad in (
                *("", "localhost:8080", "ftp://h/v1", "http://", "http:///v1", "//h/v1", 8080),
                *("http://user:secret@h/v1", "http://key@h/v1"),
                *("http://h:99999", "http://h:0", "http://h:port", "http://[::1", "http://a b/v1"),
            )
        ),
        *(("api_key", bad) for bad in ("", "  ", "a b", "a\n", "schlüssel", "a\x00b", 5)),
        *(("extra_params", bad) for bad in ([], "a", None)),
        *(("type", bad) for bad in (None, 5)),
        *(("model", bad) for bad in (5, [])),
        ("agent_name", None),
        ("config", "none"),
        ("modle", "m"),
    ],
)
def test_a_bad_setting_is_refused(field: str, bad: object) -> None:
    """Every field of `LLMConfig` refuses what no call can be made with, in Python and in files."""
    with pytest.raises(ValidationError):
        LLMConfig.model_validate({"type": "MistralLLM", field: bad})
    text = json5.dumps({"type": "MistralLLM", field: bad})
    with pytest.raises(ConfigError, match=field):
        parse_llm(text, {})


@pytest.mark.parametrize(
    ("field", "good"),
    [
        ("timeout", 0.001),
        ("first_action_timeout", None),
        ("max_tokens", 1),
        ("temperature", 0),
        ("temperature", 2),
        ("seed", 0),
        ("seed", None),
        ("base_url", "https://api.mistral.ai"),
        ("base_url", "http://[::1]:8080/v1"),
        ("extra_params", {"seed": 1, "nested": {"a": [None]}}),
    ],
)
def test_a_good_setting_is_kept(field: str, good: object) -> None:
    """The edges of what is allowed are allowed."""
    assert getattr(LLMConfig.model_validate({"type": "MistralLLM", field: good}), field) == good


def test_a_configuration_is_frozen() -> None:
    """No field can be set, and two configurations share no default."""
    first, second = LLMConfig(type="A"), LLMConfig(type="A")
    with pytest.raises(ValidationError, match="frozen"):
        first.model = "m"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        robot(SMALL).hertz = 99  # type: ignore[misc]
    first.extra_params["seed"] = 1
    assert second.extra_params == {}


# --- secrets ------------------------------------------------------------------------------------


def test_a_key_prints_as_stars() -> None:
    """Neither repr, str, dump nor JSON of a configuration shows a key; only asking for it does."""
    text = SPOT.replace("openmind_free", SECRET).replace(
        '"agent_name": "Spot"', '"api_key": "${KEY}"'
    )
    spot = robot(text, {"KEY": SECRET})
    for shown in (spot, spot.cortex_llm):
        printed = f"{shown} {shown!r} {shown.model_dump()} {shown.model_dump_json()}"
        assert SECRET not in printed
        assert "***" in printed
    assert spot.cortex_llm.api_key is not None
    assert spot.cortex_llm.api_key.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"openmind_free"', f'"{SECRET} x"'),
        ('"openmind_free"', f'"{SECRET}" x'),
        ('"openmind_free",', f'"{SECRET}"'),
        ('"openmind_free"', f'\n"{SECRET}" x'),
        ('"openmind_free"', f'"{SECRET}", "hertz": 1'),
        ('"openmind_free"', f'"{SECRET}", "nmae": 1'),
        ('"openmind_free"', f'["{SECRET}"]'),
        ('"openmind_free"', f'"{SECRET}${{UNSET}}"'),
        ('"openmind_free"', '"${KEY} x"'),
        ('"agent_name": "Spot"', f'"api_key": "{SECRET}", "modle": "x"'),
        ('"agent_name": "Spot"', f'"api_key": {{"a": "{SECRET}"}}'),
        ('"agent_name": "Spot"', '"base_url": "${KEY}"'),
        ('"agent_name": "Spot"', '"timeout": "${KEY}"'),
        ('"agent_name": "Spot"', '"transport": "${KEY}"'),
    ],
)
def test_no_error_shows_a_key(old: str, new: str) -> None:
    """Neither the message, nor the line that is shown, nor the chain of causes holds a key."""
    error = refused(SPOT.replace(old, new), {"KEY": SECRET})
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    for one in chain:
        assert SECRET not in f"{one} {one!r}"
    assert SECRET not in json.dumps(error.to_dict())


# --- whatever comes -----------------------------------------------------------------------------

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
VALID: dict[str, Any] = json5.loads(SPOT)


@settings(max_examples=150, deadline=None)
@given(any_json | st.dictionaries(st.sampled_from([*RobotConfig.model_fields]), any_json))
@example({"cortex_llm": {"config": {"config": {}}}})
def test_any_json_is_a_robot_or_a_mistake(value: object) -> None:
    """No JSON value ends in anything but a robot or a ConfigError."""
    check_any(value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_robot_with_any_part_changed_is_a_robot_or_a_mistake(data: st.DataObject) -> None:
    """Nor does a valid file with one value, anywhere in it, replaced or added."""
    value: Any = json.loads(json.dumps(VALID))
    part = value
    while True:
        key: Any = data.draw(
            st.integers(0, len(part) - 1)
            if isinstance(part, list)
            else st.sampled_from([*part]) | st.text(max_size=4)
        )
        inner = part[key] if isinstance(part, list) else part.get(key)
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        part = inner
    part[key] = data.draw(any_json)
    check_any(value)


def check_any(value: object) -> None:
    """Validate a value as a robot; its text is there for the places of mistakes."""
    source = Source(json.dumps(value), "any.json5")
    try:
        validate(RobotConfig, value, source, {"A": "1"})
    except ConfigError as error:
        mistake = str(error)
    else:
        return
    assert mistake.startswith("any.json5:")


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("modle", "did you mean 'model'?"),
        ("MODEL", "did you mean 'model'?"),
        ("typ", "did you mean 'Type'?"),
        ("zzz", "choose one of Type, model"),
        ("", "choose one of Type, model"),
    ],
)
def test_the_nearest_known_word_is_named(wrong: str, hint: str) -> None:
    """The hint names one word where one is near, else all."""
    assert did_you_mean(wrong, {"model", "Type"}) == hint
