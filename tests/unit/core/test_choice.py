from cellcascade.core.choice import evenly_spaced


def test_items_are_spaced_evenly_in_their_order():
    assert evenly_spaced(range(10), 3) == [1, 5, 8] and evenly_spaced("abc", 5) == ["a", "b", "c"]
    assert evenly_spaced([], 2) == [] and evenly_spaced(list("abcd"), 1) == ["c"]
