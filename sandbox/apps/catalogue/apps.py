from oscar.apps.catalogue import apps


class CatalogueConfig(apps.CatalogueConfig):
    name = "sandbox.apps.catalogue"
