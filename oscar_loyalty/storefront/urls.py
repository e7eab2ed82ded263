from django.urls import path

from oscar_loyalty.storefront import birthdays, claims, views

app_name = "loyalty"
urlpatterns = [
    path("", views.ProgrammeView.as_view(), name="programme"),
    path("join/", views.JoinView.as_view(), name="join"),
    path("my-points/", views.MyPointsView.as_view(), name="my-points"),
    path("my-points/news/", views.MarketingConsentView.as_view(), name="marketing-consent"),
    path("my-points/birthday/", birthdays.BirthdayView.as_view(), name="birthday"),
    path("basket/redeem/", views.RedeemView.as_view(), name="redeem"),
    path("basket/undo/", views.UndoRedemptionView.as_view(), name="undo-redemption"),
    path("claim/", claims.CheckoutClaimView.as_view(), name="claim-checkout"),
    path("claim/link/", claims.SendClaimLinkView.as_view(), name="send-claim-link"),
    path("claim/<str:token>/", claims.ClaimView.as_view(), name="claim"),
]
