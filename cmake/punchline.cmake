# Warnings, hardening and sanitizers for every target of ours, and the two helpers that folders use.

include(CheckPIESupported)
check_pie_supported()

add_library(punch_flags INTERFACE)
target_include_directories(punch_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(punch_flags INTERFACE _GNU_SOURCE PUNCH_VERSION="${PROJECT_VERSION}")
target_compile_options(punch_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef
  -Wpointer-arith -Wwrite-strings -Wcast-qual -Wswitch-enum -Wnull-dereference -Wno-unused-parameter
  -fstack-protector-strong -fno-strict-aliasing)
if(PUNCH_WERROR)
  target_compile_options(punch_flags INTERFACE -Werror)
endif()
if(PUNCH_SANITIZE)
  target_compile_options(punch_flags INTERFACE -fsanitize=${PUNCH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(punch_flags INTERFACE -fsanitize=${PUNCH_SANITIZE})
else()
  target_compile_options(punch_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
endif()
if(PUNCH_FUZZ)
  target_compile_options(punch_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_link_options(punch_flags INTERFACE -Wl,-z,relro,-z,now -Wl,-z,noexecstack)

# punch_library(wire SOURCES a.c b.c USES base PKG libfoo ...): libraries found by pkg-config are SYSTEM and private.
function(punch_library name)
  cmake_parse_arguments(A "" "" "SOURCES;USES;PKG;LIBS;DEFINES" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC punch_flags ${A_USES} PRIVATE ${A_LIBS} Threads::Threads)
  target_compile_definitions(${name} PRIVATE ${A_DEFINES})
  foreach(pkg IN LISTS A_PKG)
    if(NOT TARGET PkgConfig::${pkg})
      pkg_check_modules(${pkg} REQUIRED IMPORTED_TARGET GLOBAL ${pkg})
    endif()
    target_link_libraries(${name} PRIVATE PkgConfig::${pkg})
  endforeach()
endfunction()

function(punch_program name)
  cmake_parse_arguments(A "" "" "SOURCES;USES;DEFINES" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_compile_definitions(${name} PRIVATE ${A_DEFINES})
  target_link_libraries(${name} PRIVATE ${A_USES})
endfunction()
