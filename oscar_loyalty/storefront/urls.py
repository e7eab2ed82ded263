from django.urls import URLPattern, path

from oscar_loyalty.storefront import birthdays, claims, return_access, returns, views, withdrawals


def pages_of_a_return(root: str, name: str) -> list[URLPattern]:
    """For customers, and again for guests under the token of their link."""
    return [
        path(root, returns.ReturnView.as_view(), name=f"{name}-detail"),
        path(f"{root}receipt/", returns.ReceiptView.as_view(), name=f"{name}-receipt"),
        path(f"{root}label/", returns.LabelView.as_view(), name=f"{name}-label"),
        path(f"{root}cancel/", returns.CancelView.as_view(), name=f"{name}-cancel"),
        path(f"{root}photos/", returns.PhotosView.as_view(), name=f"{name}-photos"),
        path(f"{root}photos/<uuid:photo_id>/", returns.PhotoView.as_view(), name=f"{name}-photo"),
    ]


app_name = "loyalty"
urlpatterns = [
    path("", views.ProgrammeView.as_view(), name="programme"),
    path("join/", views.JoinView.as_view(), name="join"),
    path("my-points/", views.MyPointsView.as_view(), name="my-points"),
    path("my-points/news/", views.MarketingConsentView.as_view(), name="marketing-consent"),
    path("my-points/birthday/", birthdays.BirthdayView.as_view(), name="birthday"),
    path("basket/redeem/", views.RedeemView.as_view(), name="redeem"),
    path("basket/undo/", views.UndoRedemptionView.as_view(), name="undo-redemption"),
    path("withdraw/", withdrawals.WithdrawView.as_view(), name="withdraw"),
    path("withdraw/confirm/", withdrawals.ConfirmWithdrawalView.as_view(), name="withdraw-confirm"),
    path("withdraw/done/<uuid:public_id>/", withdrawals.WithdrawnView.as_view(), name="withdraw-done"),
    path("returns/find/", return_access.FindOrderView.as_view(), name="return-find"),
    path("returns/", returns.MyReturnsView.as_view(), name="returns"),
    path("returns/order/<str:number>/", returns.ChooseView.as_view(), name="return-choose"),
    path("returns/order/<str:number>/preview/", returns.PreviewView.as_view(), name="return-preview"),
    path("returns/guest/<str:token>/", returns.ChooseView.as_view(), name="return-guest"),
    path("returns/guest/<str:token>/preview/", returns.PreviewView.as_view(), name="return-guest-preview"),
    *pages_of_a_return("returns/guest/<str:token>/<str:return_number>/", "return-guest"),
    *pages_of_a_return("returns/<str:return_number>/", "return"),
    path("claim/", claims.CheckoutClaimView.as_view(), name="claim-checkout"),
    path("claim/link/", claims.SendClaimLinkView.as_view(), name="send-claim-link"),
    path("claim/<str:token>/", claims.ClaimView.as_view(), name="claim"),
]
