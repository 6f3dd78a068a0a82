"""The pages of allauth that this portal uses, under allauth's own names. There is no public sign-up."""

from allauth.account import views as allauth
from django.urls import path

from accounts import views
from accounts.recognition import recognising

urlpatterns = [
    path("login/", allauth.login, name="account_login"),
    path("logout/", recognising(allauth.logout), name="account_logout"),
    path("inactive/", allauth.account_inactive, name="account_inactive"),
    path("reauthenticate/", recognising(allauth.reauthenticate), name="account_reauthenticate"),
    path("password/change/", recognising(views.password_change), name="account_change_password"),
]
