# cmake --install: the programs, and what systemd, udev and people need beside them. DESTDIR is honoured; the prefix is
# /usr, because the units name the programs by their full path.
if(CMAKE_INSTALL_PREFIX_INITIALIZED_TO_DEFAULT)
  set_property(CACHE CMAKE_INSTALL_PREFIX PROPERTY VALUE /usr)
endif()
install(CODE "
  if(NOT CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
    message(FATAL_ERROR \"the units name /usr/bin: install with the prefix /usr, and DESTDIR=... for elsewhere\")
  endif()")

install(TARGETS punchgate punchcloud RUNTIME DESTINATION bin)
install(DIRECTORY config/profiles/ DESTINATION share/punchgate/profiles FILES_MATCHING PATTERN "*.yaml")
install(FILES config/punchgate.yaml DESTINATION share/doc/punchgate/examples)
install(FILES config/punchcloud.yaml config/mosquitto.conf.in config/mosquitto.acl DESTINATION share/doc/punchcloud/examples)
install(FILES systemd/punchgate.service systemd/punchcloud.service DESTINATION lib/systemd/system)
install(FILES systemd/modules-load.d/punchgate.conf DESTINATION lib/modules-load.d)
install(FILES systemd/udev/70-punchgate.rules DESTINATION lib/udev/rules.d)
foreach(p punchgate punchcloud)
  install(FILES systemd/${p}.sysusers DESTINATION lib/sysusers.d RENAME ${p}.conf)
  install(FILES systemd/${p}.tmpfiles DESTINATION lib/tmpfiles.d RENAME ${p}.conf)
  install(FILES docs/man/${p}.8 DESTINATION share/man/man8)
  install(FILES docs/man/${p}.yaml.5 DESTINATION share/man/man5)
endforeach()
