from django.urls import path, re_path

from oscar_loyalty.rest_api.base import NothingHere
from oscar_loyalty.rest_api.schema import SchemaView
from oscar_loyalty.rest_api.v1 import returns
from oscar_loyalty.rest_api.v1.claims import ClaimLinkView, ClaimsView
from oscar_loyalty.rest_api.v1.deliveries import OrderDeliveryView
from oscar_loyalty.rest_api.v1.events import EventsView, ProfileCompletedView
from oscar_loyalty.rest_api.v1.ledger import LedgerView, LotsView
from oscar_loyalty.rest_api.v1.me import BirthdayView, MarketingConsentView, MembershipView, MeView
from oscar_loyalty.rest_api.v1.payments import PaymentView
from oscar_loyalty.rest_api.v1.perks import BasketPerksView, MyPerksView
from oscar_loyalty.rest_api.v1.previews import EarnPreviewsView
from oscar_loyalty.rest_api.v1.programme import ProgrammeView
from oscar_loyalty.rest_api.v1.redemption import BasketRedemptionView
from oscar_loyalty.rest_api.v1.return_links import ReturnLinksView
from oscar_loyalty.rest_api.v1.stripe_webhook import stripe_webhook
from oscar_loyalty.rest_api.v1.tiers import MyTierView, TiersView
from oscar_loyalty.rest_api.v1.transfers import TransfersView
from oscar_loyalty.rest_api.v1.warehouse import (
    WarehouseInspectionView,
    WarehouseLateReceiptView,
    WarehouseReceiptView,
    WarehouseReturnsView,
    WarehouseTransitView,
)
from oscar_loyalty.rest_api.v1.withdrawals import WithdrawalsView

app_name = "loyalty_api"

urlpatterns = [
    path("programme", ProgrammeView.as_view(), name="programme"),
    path("me", MeView.as_view(), name="me"),
    path("me/membership", MembershipView.as_view(), name="membership"),
    path("me/consents/marketing", MarketingConsentView.as_view(), name="marketing-consent"),
    path("me/birthday", BirthdayView.as_view(), name="birthday"),
    path("me/profile-completed", ProfileCompletedView.as_view(), name="profile-completed"),
    path("me/ledger", LedgerView.as_view(), name="ledger"),
    path("me/lots", LotsView.as_view(), name="lots"),
    path("me/tier", MyTierView.as_view(), name="my-tier"),
    path("tiers", TiersView.as_view(), name="tiers"),
    path("me/perks", MyPerksView.as_view(), name="my-perks"),
    path("me/transfers", TransfersView.as_view(), name="transfers"),
    path("earn-previews", EarnPreviewsView.as_view(), name="earn-previews"),
    path("events", EventsView.as_view(), name="events"),
    path("basket/redemption", BasketRedemptionView.as_view(), name="basket-redemption"),
    path("orders/<str:number>/delivery", OrderDeliveryView.as_view(), name="order-delivery"),
    path("basket/perks", BasketPerksView.as_view(), name="basket-perks"),
    path("claims", ClaimsView.as_view(), name="claims"),
    path("claims/link", ClaimLinkView.as_view(), name="claim-link"),
    path("withdrawals", WithdrawalsView.as_view(), name="withdrawals"),
    path(
        "orders/<str:number>/returnable-lines", returns.ReturnableLinesView.as_view(), name="returnable-lines"
    ),
    path("orders/<str:number>/return-previews", returns.ReturnPreviewsView.as_view(), name="return-previews"),
    path("orders/<str:number>/returns", returns.OrderReturnsView.as_view(), name="order-returns"),
    path("returns", returns.ReturnsView.as_view(), name="returns"),
    path("returns/<str:number>", returns.ReturnDetailView.as_view(), name="return"),
    path(
        "returns/<str:number>/cancellation",
        returns.ReturnCancellationView.as_view(),
        name="return-cancellation",
    ),
    path("returns/<str:number>/label.pdf", returns.ReturnLabelPdfView.as_view(), name="return-label"),
    path("returns/<str:number>/label.svg", returns.ReturnLabelQrView.as_view(), name="return-label-qr"),
    path("returns/<str:number>/photos", returns.ReturnPhotosView.as_view(), name="return-photos"),
    path(
        "returns/<str:number>/photos/<uuid:photo_id>",
        returns.ReturnPhotoView.as_view(),
        name="return-photo",
    ),
    path("return-links", ReturnLinksView.as_view(), name="return-links"),
    path("payments", PaymentView.as_view(), name="payments"),
    path("warehouse/returns", WarehouseReturnsView.as_view(), name="warehouse-returns"),
    path("warehouse/returns/<str:number>/transit", WarehouseTransitView.as_view(), name="warehouse-transit"),
    path(
        "warehouse/returns/<str:number>/late-receipt",
        WarehouseLateReceiptView.as_view(),
        name="warehouse-late-receipt",
    ),
    path("warehouse/returns/<str:number>/receipt", WarehouseReceiptView.as_view(), name="warehouse-receipt"),
    path(
        "warehouse/returns/<str:number>/inspection",
        WarehouseInspectionView.as_view(),
        name="warehouse-inspection",
    ),
    path("stripe/webhook", stripe_webhook, name="stripe-webhook"),
    path("schema", SchemaView.as_view(), name="schema"),
    # Last: whatever else is asked for under this address.
    re_path(r"^.*$", NothingHere.as_view()),
]
