/* Between support.c (support requests, and what both have in common), breakglass.c and support_trail.c. */
#pragma once

#include "api/api_impl.h"
#include "cloud/mail.h"
#include "cloud/scope.h"
#include "cloud/support.h"

/* One of the vendor's people asks, in the vendor's own tenant. */
bool support_of_vendor(const struct api_call *k);
json_t *support_json(const struct support *p);
/* What {id} names, and the customer's scope; false: answered. What neither the customer nor the caller has to do with
 * is not there. `s` borrows from `p`. */
bool support_named(struct api_call *k, enum support_kind kind, struct scope *ret_s, struct support *ret_p);
/* The customer's scope by name; false: answered. */
bool support_customer(struct api_call *k, const char *tenant, struct scope *ret_s);
/* Reach, from "reach" and "reach_id" of the body; false: answered. */
bool support_reach(struct api_call *k, const char *kind, const char *id, struct support *ret);
/* What became of it, in the customer's trail and, with its tenant, in the vendor's; then the answer. `kind`:
 * "support.approved". */
void support_answer(struct api_call *k, const struct scope *s, const struct support *p, const char *kind, bool created);
/* Mail to those of the customer who let support in, or ended. false: answered. */
bool support_tell(struct api_call *k, const struct scope *s, const struct support *p, enum mail_template template);
/* For a transition that did not take place. */
void support_outcome(struct api_call *k, int r);
void support_list_page(struct api_call *k, enum support_kind kind);
