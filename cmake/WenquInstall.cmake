# What hosts find libwenqu by: find_package(wenqu) gives the target wenqu::wenqu, pkg-config the same as flags. Both tell
# places from where they are themselves, so that an installation can be moved.
#
# Components: runtime (the program, the library and what it loads), development, and plugin, whose licences are their own.

include(CMakePackageConfigHelpers)

install(TARGETS wenqu EXPORT wenqu
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} NAMELINK_COMPONENT development)
install(FILES sdk/include/wenqu/wenqu.h sdk/include/wenqu/wenqu.hpp
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/wenqu COMPONENT development)

# libwenqu needs nothing of its hosts, so what is exported is the whole configuration. As long as the major version is 0, a
# minor one may change the ABI.
install(EXPORT wenqu FILE wenquConfig.cmake NAMESPACE wenqu::
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/wenqu COMPONENT development)
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/wenquConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/wenquConfigVersion.cmake"
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/wenqu COMPONENT development)

file(RELATIVE_PATH include_from_pc "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
configure_file(cmake/wenqu.pc.in wenqu.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/wenqu.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

# The header refers to docs/, and docs/ to the README.
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development FILES_MATCHING PATTERN "*.md")
