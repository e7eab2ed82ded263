"""Writes the catalogue: categories, product classes, goods with stock and pictures, offers."""

from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from oscar.core.loading import get_model
from oscar.core.utils import slugify

from .goods import ATTRIBUTES, CATEGORIES, CLASSES, GOODS, OPTIONS, Good, Variant, Words
from .pictures import draw_picture
from .purchases import list_items

Partner = get_model("partner", "Partner")
StockRecord = get_model("partner", "StockRecord")
Category = get_model("catalogue", "Category")
Product = get_model("catalogue", "Product")
ProductClass = get_model("catalogue", "ProductClass")
ProductCategory = get_model("catalogue", "ProductCategory")
ProductImage = get_model("catalogue", "ProductImage")
ProductRecommendation = get_model("catalogue", "ProductRecommendation")
ProductAttribute = get_model("catalogue", "ProductAttribute")
ProductAttributeValue = get_model("catalogue", "ProductAttributeValue")
AttributeOptionGroup = get_model("catalogue", "AttributeOptionGroup")
AttributeOption = get_model("catalogue", "AttributeOption")
ConditionalOffer = get_model("offer", "ConditionalOffer")
Condition = get_model("offer", "Condition")
Benefit = get_model("offer", "Benefit")
Range = get_model("offer", "Range")
Voucher = get_model("voucher", "Voucher")

VOUCHER_CODE = "MORGENROT5"

#: Shape and colour of the picture of each category.
CATEGORY_PICTURES = {
    "coffee": ("bag", "#b5533c"),
    "espresso": ("moka", "#9aa3a8"),
    "filter": ("dripper", "#e3a83b"),
    "decaf": ("bag", "#54527a"),
    "tea": ("tin", "#4f7f5c"),
    "black-tea": ("tin", "#7c2f2a"),
    "green-tea": ("bowl", "#6d8058"),
    "oolong-white": ("tin", "#a2793f"),
    "herbs-fruit": ("glass", "#b83f5e"),
    "brewing": ("kettle", "#3d4f63"),
    "makers": ("press", "#33363b"),
    "grinders": ("boxmill", "#a2703f"),
    "pots": ("teapot", "#8f3b2c"),
    "accessories": ("scale", "#33363b"),
    "table": ("mug", "#3f6f8f"),
    "cups": ("cup", "#b5533c"),
    "storage": ("caddy", "#d9bf94"),
    "pantry": ("honey", "#e3a83b"),
    "sweets": ("bar", "#8a5a3a"),
    "honey-sugar": ("honey", "#7a4a1f"),
}


def both(field: str, words: Words) -> dict[str, str]:
    """The columns of a translated field; the plain column holds the shop's first language."""
    return {field: words.de, f"{field}_de": words.de, f"{field}_en": words.en}


def write_catalogue(random: Random, *, partner, opened_at: datetime) -> dict[str, StockRecord]:
    """
    Everything on the shelves. Returns the stock record of each item by its SKU, with its product.

    :param opened_at: when the first goods were added
    """
    categories = _write_categories()
    classes, attributes, options = _write_classes()
    products: dict[str, Product] = {}  # by key of the good, and by SKU of the item
    for n, good in enumerate(GOODS):
        products[good.key] = Product(
            structure=Product.PARENT if good.variants else Product.STANDALONE,
            upc=_upc(n, 0),
            slug=slugify(good.title.de),
            product_class=classes[good.kind],
            **both("title", good.title),
            **both("description", good.description),
        )
    Product.objects.bulk_create(products.values())
    children = {}
    for n, good in enumerate(GOODS):
        for m, variant in enumerate(good.variants, start=1):
            title = _variant_title(good, variant)
            children[f"{good.key}-{m}"] = Product(
                structure=Product.CHILD,
                parent=products[good.key],
                upc=_upc(n, m),
                slug=slugify(title.de),
                **both("title", title),
            )
    Product.objects.bulk_create(children.values())
    products |= children

    ProductCategory.objects.bulk_create(
        ProductCategory(product=products[good.key], category=categories[good.category]) for good in GOODS
    )
    _write_attributes(products, attributes, options)
    _write_recommendations(random, products)
    _draw_pictures(products)
    records = _write_stock(random, partner, products)
    _write_offers(categories, opened_at)
    # `date_created` decides what counts as new; it has no other way of being set in bulk.
    for n, good in enumerate(GOODS):
        added_at = opened_at + timedelta(days=(n * 7) % 400)
        Product.objects.filter(pk=products[good.key].pk).update(date_created=added_at)
        Product.objects.filter(parent=products[good.key]).update(date_created=added_at)
    return records


def _upc(number: int, variant: int) -> str:
    """A number for use inside one shop (prefix 2), 13 digits with its check digit."""
    digits = f"20{number + 1:07d}{variant:03d}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def _variant_title(good: Good, variant: Variant) -> Words:
    return Words(f"{good.title.de}, {variant.suffix.de}", f"{good.title.en}, {variant.suffix.en}")


def _write_categories() -> dict[str, Category]:
    categories: dict[str, Category] = {}
    for key, parent, name, description in CATEGORIES:
        picture = f"images/categories/{key}.jpg"
        default_storage.delete(picture)
        default_storage.save(picture, ContentFile(draw_picture(*CATEGORY_PICTURES[key])))
        fields = {
            "image": picture,
            "code": key,
            "slug": slugify(name.de),
            **both("name", name),
            **both("description", description),
        }
        if parent:
            # treebeard counts children on the instance, which must therefore be fresh.
            above = Category.objects.get(pk=categories[parent].pk)
            categories[key] = Category.objects.add_child(above, instance=Category(**fields))
        else:
            categories[key] = Category.objects.add_root(instance=Category(**fields))
    return categories


def _write_classes():
    classes, attributes, options = {}, {}, {}
    groups = {}
    for code, choices in OPTIONS.items():
        groups[code] = AttributeOptionGroup.objects.create(name=code, code=code)
        for option, words in choices.items():
            options[code, option] = AttributeOption.objects.create(
                group=groups[code], code=f"{code}-{option}", **both("option", words)
            )
    for slug, name in CLASSES.items():
        classes[slug] = ProductClass.objects.create(slug=slug, **both("name", name))
        for code, (words, kind) in ATTRIBUTES[slug].items():
            attributes[slug, code] = ProductAttribute.objects.create(
                product_class=classes[slug],
                code=code,
                type=kind,
                option_group=groups[code] if kind == "option" else None,
                **both("name", words),
            )
    return classes, attributes, options


def _write_attributes(products, attributes, options) -> None:
    values = []

    def add(product: Product, good: Good, chosen: dict[str, object]) -> None:
        for code, value in chosen.items():
            attribute = attributes[good.kind, code]
            stored = options[code, value] if attribute.type == "option" else value
            values.append(
                ProductAttributeValue(
                    product=product, attribute=attribute, **{f"value_{attribute.type}": stored}
                )
            )

    for good in GOODS:
        add(products[good.key], good, good.attributes)
        for n, variant in enumerate(good.variants, start=1):
            add(products[f"{good.key}-{n}"], good, variant.attributes)
    ProductAttributeValue.objects.bulk_create(values)


def _write_recommendations(random: Random, products) -> None:
    rows = []
    for good in GOODS:
        matching = [other for other in GOODS if other.category in good.goes_with and other is not good]
        for ranking, other in enumerate(random.sample(matching, min(4, len(matching)))):
            rows.append(
                ProductRecommendation(
                    primary=products[good.key], recommendation=products[other.key], ranking=10 - ranking
                )
            )
    ProductRecommendation.objects.bulk_create(rows)


def _draw_pictures(products) -> None:
    """One picture for each good, and one for each variant that has a colour of its own."""
    images = []

    def add(key: str, shape: str, colour: str, order: int = 0) -> None:
        name = f"images/products/{key}.jpg"
        default_storage.delete(name)
        default_storage.save(name, ContentFile(draw_picture(shape, colour)))
        images.append(ProductImage(product=products[key], original=name, display_order=order))

    for good in GOODS:
        add(good.key, good.shape, good.colour)
        for n, variant in enumerate(good.variants, start=1):
            if variant.colour:
                add(f"{good.key}-{n}", good.shape, variant.colour)
    ProductImage.objects.bulk_create(images)


def _write_stock(random: Random, partner, products) -> dict[str, StockRecord]:
    records = {}
    for item in list_items():
        level = random.random()
        in_stock = 0 if level < 0.04 else random.randint(1, 4) if level < 0.12 else random.randint(12, 140)
        records[item.sku] = StockRecord(
            product=products[item.sku],
            partner=partner,
            partner_sku=f"MR-{item.sku}",
            price_currency="EUR",
            price=item.price,
            num_in_stock=in_stock,
            num_allocated=0,
            low_stock_threshold=5,
        )
    StockRecord.objects.bulk_create(records.values())
    return records


def set_allocations(records: dict[str, StockRecord], allocated: dict[str, int]) -> None:
    """Keep aside what open orders have been promised, on top of what is free to sell."""
    changed = []
    for sku, quantity in sorted(allocated.items()):
        record = records[sku]
        record.num_in_stock += quantity
        record.num_allocated = quantity
        changed.append(record)
    StockRecord.objects.bulk_update(changed, ["num_in_stock", "num_allocated"])


def _write_offers(categories, opened_at: datetime) -> None:
    everything = Range.objects.create(name="Gesamtes Sortiment", slug="sortiment", includes_all_products=True)
    espresso = Range.objects.create(name="Espresso", slug="espresso", is_public=True)
    espresso.included_categories.add(categories["espresso"])

    ConditionalOffer.objects.create(
        name="Espresso -10 %",
        slug="espresso-10",
        description="Alle Espressi 10 % günstiger. All espresso coffees 10% off.",
        offer_type=ConditionalOffer.SITE,
        exclusive=True,
        condition=Condition.objects.create(range=espresso, type=Condition.COUNT, value=1),
        benefit=Benefit.objects.create(range=espresso, type=Benefit.PERCENTAGE, value=10),
    )
    voucher_offer = ConditionalOffer.objects.create(
        name="Gutschein 5 €",
        slug="gutschein-5",
        offer_type=ConditionalOffer.VOUCHER,
        exclusive=False,
        condition=Condition.objects.create(range=everything, type=Condition.VALUE, value=Decimal("40.00")),
        benefit=Benefit.objects.create(range=everything, type=Benefit.FIXED, value=Decimal("5.00")),
    )
    voucher = Voucher.objects.create(
        name="Morgenrot 5 €",
        code=VOUCHER_CODE,
        usage=Voucher.MULTI_USE,
        start_datetime=opened_at,
        end_datetime=opened_at + timedelta(days=365 * 10),
    )
    voucher.offers.add(voucher_offer)
