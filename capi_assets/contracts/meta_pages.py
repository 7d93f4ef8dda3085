"""Meta's pages by name, as field metadata: the page that defines a column or a rule about it.

They are pages under developers.facebook.com/documentation/ads-commerce/conversions-api, except
"Data processing options" (Marketing API). The rules themselves are in `capi_assets.meta`.
"""

from __future__ import annotations

SERVER_EVENT = {"source": "Server event parameters"}
CUSTOMER = {"source": "Customer information parameters"}
CUSTOM_DATA = {"source": "Custom data parameters"}
COOKIES = {"source": "fbp and fbc"}
EXTERNAL_ID = {"source": "External ID"}
APP = {"source": "App events"}
MESSAGING = {"source": "Conversions API for business messaging"}
DATA_PROCESSING = {"source": "Data processing options"}
DEDUPLICATION = {"source": "Deduplicate Pixel and server events"}
CONSENT = {"source": "End-to-end implementation"}
WINDOW = {"source": "Using the API"}
