"""The Huawei Cloud client: tokens from IAM, O&M links from Cloud Bastion Host (CBH).

Plain values in, frozen dataclasses out; no Django, no settings, no state beyond pooled connections. To use it
elsewhere, copy the folder.

    rules = EndpointRules(["https://*.myhuaweicloud.com"], allow_http_loopback=False)
    transport = CloudTransport(rules)
    token = IamClient(transport, "https://iam.myhuaweicloud.com").token(credential=…, scope=…, deadline=…)
    link = CbhClient(transport, "https://cbh.eu-west-0.myhuaweicloud.com").om_url(token=token.value, …)
"""
