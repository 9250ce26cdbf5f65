"""Where boxes stand and how lines run in the picture of a pipeline."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

from ecommerce_dagster.pages.graph import Box, Graph, layout


def drawn(parents: dict[str, list[str]]) -> tuple[Graph, dict[str, Box]]:
    graph = layout(parents, {name: f"{name}.html" for name in parents})
    return graph, {box.name: box for box in graph.boxes}


DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c", "a"]}


def test_an_asset_stands_to_the_right_of_all_that_it_reads() -> None:
    _, boxes = drawn(DIAMOND)
    for name, parents in DIAMOND.items():
        for parent in parents:
            assert boxes[parent].x + boxes[parent].width < boxes[name].x


def test_no_two_boxes_overlap_and_all_are_inside_of_the_picture() -> None:
    wide = {f"raw.{n}": [] for n in range(30)} | {
        f"mart.{n}": [f"raw.{n % 7}", f"raw.{n}"] for n in range(30)
    }
    graph, boxes = drawn(wide)
    for one, other in combinations(boxes.values(), 2):
        apart = abs(one.x - other.x) >= one.width or abs(one.y - other.y) >= one.height
        assert apart, (one, other)
    for box in boxes.values():
        assert 0 <= box.x <= graph.width - box.width
        assert 0 <= box.y <= graph.height - box.height


def test_a_line_ends_at_its_boxes_and_passes_others_at_a_distance() -> None:
    graph, boxes = drawn(DIAMOND)
    assert {(line.upstream, line.downstream) for line in graph.lines} == {
        ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d"),
    }  # fmt: skip
    [long] = [line for line in graph.lines if (line.upstream, line.downstream) == ("a", "d")]
    numbers = [float(number) for number in re.findall(r"\d+", long.path)]
    a, d = boxes["a"], boxes["d"]
    assert abs(numbers[0] - (a.x + a.width)) <= 1
    assert abs(numbers[-1] - (d.y + d.height / 2)) <= 1
    [(level, end)] = re.findall(r",(\d+) H(\d+)", long.path)
    assert abs(float(end) - (boxes["b"].x + boxes["b"].width)) <= 1
    for passed in (boxes["b"], boxes["c"]):
        assert not passed.y <= float(level) <= passed.y + passed.height


def test_neighbours_stand_side_by_side() -> None:
    pairs = {f"raw.{n}": [] for n in range(8)} | {
        f"stg.{n}": [f"raw.{n}"] for n in reversed(range(8))
    }
    _, boxes = drawn(pairs)
    assert all(boxes[f"raw.{n}"].y == boxes[f"stg.{n}"].y for n in range(8))


def test_what_reads_itself_or_something_unknown_has_no_line_to_it() -> None:
    graph, boxes = drawn({"a": ["a", "elsewhere"]})
    assert (set(boxes), graph.lines) == ({"a"}, [])
    assert layout({}, {}).boxes == []


class TestBands:
    PARENTS = {
        "raw.a": [],
        "raw.b": ["raw.a"],
        "raw.late": [],
        "stg.x": ["raw.a"],
        "mart.y": ["stg.x"],
    }

    def bands(self, parents: dict[str, list[str]]) -> tuple[Graph, dict[str, Box]]:
        groups = {name: name.partition(".")[0] for name in parents}
        graph = layout(parents, dict.fromkeys(parents, ""), groups)
        return graph, {box.name: box for box in graph.boxes}

    def test_a_group_has_a_part_of_the_picture_for_itself(self) -> None:
        graph, boxes = self.bands(self.PARENTS)
        assert [band.name for band in graph.bands] == ["raw", "stg", "mart"]
        for name, box in boxes.items():
            [band] = [band for band in graph.bands if band.name == name.partition(".")[0]]
            assert band.x < box.x
            assert box.x + box.width < band.x + band.width
            assert box.label == name.partition(".")[2]
        for one, other in pairwise(graph.bands):
            assert one.x + one.width == other.x
        assert boxes["raw.a"].x < boxes["raw.b"].x < boxes["stg.x"].x
        assert graph.bands[-1].x + graph.bands[-1].width == graph.width

    def test_groups_that_read_each_other_have_none(self) -> None:
        graph, boxes = self.bands({**self.PARENTS, "raw.back": ["stg.x"]})
        assert graph.bands == []
        assert boxes["stg.x"].x < boxes["raw.back"].x
        assert boxes["stg.x"].label == "stg.x"

    def test_one_group_or_many_have_none(self) -> None:
        assert self.bands({"raw.a": [], "raw.b": ["raw.a"]})[0].bands == []
        assert self.bands({f"g{n}.a": [] for n in range(30)})[0].bands == []
