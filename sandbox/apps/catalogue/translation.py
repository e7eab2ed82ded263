"""What customers read in the catalogue exists once per language."""

from modeltranslation.translator import TranslationOptions, register
from oscar.core.loading import get_model


@register(get_model("catalogue", "Product"))
class ProductWording(TranslationOptions):
    fields = ("title", "description")


@register(get_model("catalogue", "Category"))
class CategoryWording(TranslationOptions):
    fields = ("name", "description")


@register(get_model("catalogue", "ProductClass"))
@register(get_model("catalogue", "ProductAttribute"))
class NameWording(TranslationOptions):
    fields = ("name",)


@register(get_model("catalogue", "AttributeOption"))
class OptionWording(TranslationOptions):
    fields = ("option",)
