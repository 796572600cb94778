"""The demo's catalog and its images are complete and fit together."""

import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import demo.shop.app

ROOT = Path(demo.shop.app.__file__).parents[2]
CATALOG: dict[str, Any] = json.loads((ROOT / "deploy" / "catalog.json").read_text())
PRODUCTS: list[dict[str, Any]] = CATALOG["products"]


def test_skus_are_unique() -> None:
    skus = [product["sku"] for product in PRODUCTS]
    assert len(skus) == len(set(skus))


def test_products_and_shipping_have_all_currencies() -> None:
    for amounts in [*map(itemgetter("prices"), PRODUCTS), *map(itemgetter("amounts"), CATALOG["shipping_options"])]:
        assert set(amounts) == {"eur", "usd", "jpy"}
        assert all(isinstance(amount, int) and amount > 0 for amount in amounts.values())


def test_every_image_exists_is_small_and_loads_nothing() -> None:
    for image in {product["image"] for product in PRODUCTS}:
        drawing = (ROOT / "demo" / "shop" / "static" / image.lstrip("/")).read_text()
        assert 'viewBox="0 0 400 480"' in drawing
        assert len(drawing) < 4000
        assert "<script" not in drawing
        assert drawing.count("http") == 1  # the namespace


def test_catalog_has_twelve_styles_and_scarce_sizes() -> None:
    by_style = groupby(sorted(PRODUCTS, key=itemgetter("group")), key=itemgetter("group"))
    sizes = {style: [product["stock"] for product in products] for style, products in by_style}

    assert len(sizes) == 12
    assert any(1 in stocks for stocks in sizes.values())
    assert any(0 in stocks for stocks in sizes.values())
