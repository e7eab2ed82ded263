"""The documentation is followed to the letter in a shop that ran without us, in and out again."""

import pytest

from .conftest import Shop, blocks_of, commands_of

pytestmark = pytest.mark.timeout(600)
PAGES = ("product", "/basket/", "/checkout/", "/catalogue/")
INSTALL, UNINSTALL = "docs/how-to/install.md", "docs/how-to/uninstall.md"


def append(shop: Shop, name: str, code: str) -> str:
    """Add code to a file of the shop; return what the file was before."""
    file = shop.folder / name
    before = file.read_text()
    file.write_text(f"{before}\n{code}")
    return before


def works(seen: dict[str, dict]) -> bool:
    return all(page["status"] in (200, 302) for page in seen.values())


def test_the_documented_lines_put_points_into_a_shop_and_take_them_out_again(shop):
    # Into the shop.
    settings = append(shop, "settings.py", blocks_of(INSTALL, "settings.py"))
    urls = append(shop, "urls.py", blocks_of(INSTALL, "urls.py"))
    assert "no issues" in shop.manage("check")
    commands = commands_of(INSTALL)
    assert commands == [["migrate"], ["loyalty_setup"], ["loyalty_doctor"], ["loyalty_sweep"]]
    printed = {arguments[0]: shop.manage(*arguments) for arguments in commands}
    assert "made       programme" in printed["loyalty_setup"]
    assert "error" not in printed["loyalty_doctor"]
    assert "ok       Tables" in printed["loyalty_doctor"]
    assert "ok       Ledger refuses changes" in printed["loyalty_doctor"]

    seen = shop.visit(*PAGES, "/loyalty/", "/api/loyalty/v1/programme")
    assert works(seen), {path: page["status"] for path, page in seen.items()}
    assert "12 points" in seen["product"]["text"]
    assert "12 points" in seen["/basket/"]["text"]
    assert '"currency"' in seen["/api/loyalty/v1/programme"]["text"]

    join = (
        "from django.contrib.auth import get_user_model; from django.utils import timezone; "
        "from oscar_loyalty.flows.membership import join_programme; "
        "join_programme(user_id=get_user_model().objects.get().pk, now=timezone.now())"
    )
    shop.manage("shell", "--command", join)

    # The code goes first: that breaks baskets, as the documentation warns.
    with_points = (shop.folder / "settings.py").read_text(), (shop.folder / "urls.py").read_text()
    (shop.folder / "settings.py").write_text(settings)
    (shop.folder / "urls.py").write_text(urls)
    assert shop.visit("/basket/")["/basket/"]["status"] == 500

    # Put back, and out of the shop in the right order.
    (shop.folder / "settings.py").write_text(with_points[0])
    (shop.folder / "urls.py").write_text(with_points[1])
    commands = commands_of(UNINSTALL)
    assert commands == [["migrate", "oscar_loyalty", "zero"], ["loyalty_remove"]]
    printed = {arguments[0]: shop.manage(*arguments) for arguments in commands}
    assert "1 deleted" in printed["loyalty_remove"]
    (shop.folder / "settings.py").write_text(settings)
    (shop.folder / "urls.py").write_text(urls)
    after = shop.visit(*PAGES)
    assert works(after)
    assert "12 points" not in after["product"]["text"]
    shop.manage(
        "shell",
        "--command",
        "from django.contrib.auth import get_user_model; get_user_model().objects.get().delete()",
    )


def test_the_readme_says_the_same():
    assert commands_of("README.md")[:3] == commands_of(INSTALL)[:3]
