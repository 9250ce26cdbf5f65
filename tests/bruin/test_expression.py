"""Conditions of policies: what they answer, and that nothing else can be done with them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecommerce_dagster.bruin.policy.expression import answer, value
from ecommerce_dagster.bruin.policy.functions import ExpressionError

NAMES: dict[str, Any] = {
    "a": {"name": "raw.x", "list": [1, 2], "more": {"nothing": None}, "tags": ["pii", "daily"]},
    "n": 1,
    "people": [{"name": "Ann", "age": 30}, {"name": "Bob", "age": 20}],
}


@pytest.mark.parametrize(
    "condition",
    [
        'a.name == "raw.x"', "a['name'] != 'raw.y'", 'a.name startsWith "raw."',
        "a.name endsWith 'x' && a.name contains 'aw'", r'a.name matches "^raw\\.x$"',
        "a.name matches `^\\w+\\.x$`", "len(a.list) == 2", "len('abc') == 3 and len({}) == 0",
        "'pii' in a.tags", "'x' not in a.tags", "not ('x' in a.tags)", "!('x' in a.tags)",
        "'name' in a", "n in 1..3", "n in [1, 2]", "n == 1.0", "a.more.nothing == nil",
        "a?.absent?.more == nil", "(a.more.nothing ?? 'd') == 'd'", "nil == nil", "true != false",
        "all(people, {.age >= 20})", "all(people, .age >= 20)", "any(people, #.name == 'Ann')",
        "none(people, .age > 99)", "one(people, .age > 25)", "count(people, .age > 1) == 2",
        "map(people, .name) == ['Ann', 'Bob']", "len(filter(people, .age > 25)) == 1",
        "find(people, .name == 'Bob').age == 20", "people | filter(.age > 25) | len() == 1",
        "all(people, any(a.list, # == 1) and .age > 1)",
        "1 + 2 * 3 == 7", "(1 + 2) * 3 == 9", "2 ** 3 ** 2 == 512", "-2 ** 2 == -4", "7 % 4 == 3",
        "7 / 2 == 3.5", "'a' + 'b' == 'ab'", "'a' < 'b'", "1 < 2 and 2 <= 2 and 3 > 2 or false",
        "false and true or true", "true or a.absent.x", "n > 0 ? n == 1 : false",
        "false ? true : false ? false : true", "a.list[0] == 1 and a.list[-1] == 2",
        "a.list[1:] == [2] and a.list[:1] == [1]", "lower('AB') == 'ab' and upper('a') == 'A'",
        "trim(' a ') == 'a'", "split('a,b', ',') == ['a', 'b']", "join(a.tags, '-') == 'pii-daily'",
        "replace('aXa', 'X', 'b') == 'aba'", "indexOf('abc', 'c') == 2", "hasPrefix('ab', 'a')",
        "first(a.list) == 1 and last(a.list) == 2 and first([]) == nil", "sum(a.list) == 3",
        "max(1, 2) == 2 and min(1, 2) == 1 and abs(-1) == 1", "keys({a: 1}) == ['a']",
        "values({'a': 1}) == [1]", "int('3') == 3 and float('1.5') == 1.5 and string(1) == '1'",
        "/* a comment */ true // and another",
    ],
)  # fmt: skip
def test_what_holds(condition: str) -> None:
    assert answer(condition, NAMES) is True
    assert answer(f"not ({condition}\n)", NAMES) is False


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("n = 1", "unexpected '='"),
        ("", "expected a number or text or name at the end"),
        ("(n == 1", "expected ')' at the end"),
        ("n == 1 n", "expected the end before 'n'"),
        ("[1, 2", "expected ']' at the end"),
        ("{a: 1, ", "at the end"),
        ("n ? 1", "expected ':'"),
        ("n", "the answer is 1; expected true or false"),
        ("m == 1", "unknown name 'm'"),
        ("lenn(a) == 1", "unknown function 'lenn'; did you mean 'len'?"),
        ("all(people)", "needs a list and a condition"),
        ("n and true", "1 is neither true nor false"),
        ("a.name > 1", "'raw.x' is not a number"),
        ("n contains 'a'", "1 is not a text"),
        ("n.key == 1", "1 has no 'key'"),
        ("a.list[9] == 1", "out of range"),
        ("'a' matches '['", "is not a regular expression"),
        ("1 / 0 == 1", "division by zero"),
        ('"\\d" == 1', "has a \\ that means nothing"),
        ("__import__('os') == 1", "unknown function '__import__'"),
        ("a.name.__class__ == 1", "'raw.x' has no '__class__'"),
        ("9 ** 9 ** 9 > 1", "math range error"),
        ("all(0..999999999, true)", "a range is too long"),
        ("all(1..9999, all(1..9999, true))", "takes too long"),
        ("(" * 100 + "1", "nested too deeply"),
        ("1 + " * 5000 + "1 == 1", "longer than"),
    ],
)  # fmt: skip
def test_what_has_no_answer_says_why(condition: str, said: str) -> None:
    with pytest.raises(ExpressionError) as error:
        answer(condition, NAMES)
    assert said in str(error.value)


WORDS = (
    "a|n|people|.name|.|#|1|99999|'x'|\"y\"|`z`|(|)|[|]|{|}|,|:|?|?.|??|+|-|*|/|%|**|==|<|and |or |"
    "not |in |..|len(|all(|map(|filter(|count(|matches |contains | | |nil|true|join(|sum(|replace("
)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS.split("|")), max_size=25).map("".join) | st.text(max_size=30))
def test_any_text_has_a_value_or_a_reason(text: str) -> None:
    try:
        value(text, NAMES)
    except ExpressionError as error:
        assert str(error)
