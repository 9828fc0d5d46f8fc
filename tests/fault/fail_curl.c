/* libcurl allocates handles, lists and URLs; its transfers fail by themselves in the tests of what uses it. */
#include <curl/curl.h>
#include <stdarg.h>

#include "tests/fault/strike.h"

FAIL(STRIKE_OTHER, CURL *, curl_easy_init, (void), (), NULL)
FAIL(STRIKE_OTHER, CURLU *, curl_url, (void), (), NULL)
FAIL(STRIKE_OTHER, struct curl_slist *, curl_slist_append, (struct curl_slist * l, const char *s), (l, s), NULL)
FAIL(STRIKE_OTHER, CURLUcode, curl_url_get, (CURLU * u, CURLUPart part, char **ret, unsigned flags),
     (u, part, ret, flags), CURLUE_OUT_OF_MEMORY)
FAIL(STRIKE_OTHER, CURLUcode, curl_url_set, (CURLU * u, CURLUPart part, const char *s, unsigned flags),
     (u, part, s, flags), CURLUE_OUT_OF_MEMORY)

/* libcurl copies texts. An option's number tells what comes with it (CURLOPTTYPE_). */
CURLcode fail_curl_easy_setopt(CURL *h, CURLoption option, ...);
CURLcode fail_curl_easy_setopt(CURL *h, CURLoption option, ...)
{
    if (strike_now(STRIKE_OTHER, "curl_easy_setopt"))
        return CURLE_OUT_OF_MEMORY;
    va_list ap;
    va_start(ap, option);
    CURLcode r;
    if (option < CURLOPTTYPE_OBJECTPOINT)
        r = (curl_easy_setopt)(h, option, va_arg(ap, long));
    else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
        r = (curl_easy_setopt)(h, option, va_arg(ap, curl_off_t));
    else
        r = (curl_easy_setopt)(h, option, va_arg(ap, void *)); /* functions, too, as libcurl itself takes them */
    va_end(ap);
    return r;
}
