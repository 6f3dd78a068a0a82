from django.urls import path

from omaccess.views import activity, favourites, hosts, launches, worklist

app_name = "omaccess"

urlpatterns = [
    path("", hosts.hosts, name="hosts"),
    path("hosts/", hosts.host_of_account, name="host_of_account"),
    path("hosts/<int:pk>/", hosts.host, name="host"),
    path("favourites/", favourites.favourite, name="favourite"),
    path("worklist/", worklist.worklist, name="worklist"),
    path("launches/", launches.launches, name="launches"),
    path("launches/opening/", launches.opening, name="opening"),
    path("launches/status/<uuid:once>/", launches.launch_status, name="launch_status"),
    path("launches/<str:reference>/", launches.launch, name="launch"),
    path("launches/<str:reference>/attempt/", launches.attempt, name="attempt"),
    path("activity/", activity.activity, name="activity"),
    path("activity/access/", activity.access, name="activity_access"),
    path("activity/export/", activity.export, name="activity_export"),
]
