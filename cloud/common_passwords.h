/* The words of cloud/common_passwords.txt, as the build made them; sorted. For password.c. */
#pragma once

#include <stddef.h>

#define COMMON_PASSWORD_MIN 5
#define COMMON_PASSWORD_MAX 20
extern const char common_passwords[][COMMON_PASSWORD_MAX + 1];
extern const size_t common_passwords_n;
