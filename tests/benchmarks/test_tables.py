"""Tables get into the page where it has a place for them, and nowhere else."""

from benchmarks.tables import replaced, table

PAGE = "before\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\nafter\n"


def test_a_table_takes_the_place_of_the_old_one():
    page = replaced(PAGE, {"a": "| new |", "c": "| nowhere |"})
    assert page == PAGE.replace("old", "| new |")
    assert replaced(page, {"a": "| new |"}) == page


def test_a_table_has_one_line_for_its_header_and_one_for_each_row():
    assert table(("x", "y"), [("1", "2")]) == "| x | y |\n| --- | --- |\n| 1 | 2 |"
