/* libcurl allocates handles, lists and URLs; its transfers fail by themselves in the tests of what uses it. */
#include <curl/curl.h>

#include "tests/fault/strike.h"

FAIL(STRIKE_OTHER, CURL *, curl_easy_init, (void), (), NULL)
FAIL(STRIKE_OTHER, CURLU *, curl_url, (void), (), NULL)
FAIL(STRIKE_OTHER, struct curl_slist *, curl_slist_append, (struct curl_slist * l, const char *s), (l, s), NULL)
FAIL(STRIKE_OTHER, CURLUcode, curl_url_get, (CURLU * u, CURLUPart part, char **ret, unsigned flags),
     (u, part, ret, flags), CURLUE_OUT_OF_MEMORY)
FAIL(STRIKE_OTHER, CURLUcode, curl_url_set, (CURLU * u, CURLUPart part, const char *s, unsigned flags),
     (u, part, s, flags), CURLUE_OUT_OF_MEMORY)
