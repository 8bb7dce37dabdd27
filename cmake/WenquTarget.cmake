# wenqu_library(NAME SOURCES... [PRECOMPILED HEADERS...]) makes one static part of the house: position independent,
# C++20, nothing exported, warnings on. Sources are listed by the caller, never globbed. What many of them include of a
# heavy foreign library may be precompiled.

include(GNUInstallDirs)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Optimised code with asserts of foreign headers off; ours return errors instead of asserting.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")

find_package(Threads REQUIRED)

# A third of what a file costs is what headers make of templates, alike in files beside each other.
if(WENQU_FROM_NOTHING)
  set(CMAKE_UNITY_BUILD ON)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 6)
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)   # takes what is included for headers
endif()

if(WENQU_SANITIZE)
  # Checks are most of the code: to optimise it further takes longer than it saves.
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -DNDEBUG")
  add_compile_definitions(WENQU_SANITIZED)
  add_compile_options(-fsanitize=${WENQU_SANITIZE} -fno-omit-frame-pointer -g1)
  if(WENQU_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
    # Of each access GCC's checks of these are a third of what there is to compile. A null pointer the address sanitizer sees
    # too; the fuzz targets, which Clang compiles, keep them all.
    add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fno-sanitize=null$<COMMA>alignment$<COMMA>vptr$<COMMA>object-size>)
  endif()
  add_link_options(-fsanitize=${WENQU_SANITIZE})
endif()

# -Wrestrict of GCC 12 warns of std::string's own operator+ (GCC bug 105651).
set(WENQU_WARNINGS -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)

function(wenqu_library name)
  cmake_parse_arguments(PARSE_ARGV 1 library "" "" "PRECOMPILED")
  add_library(${name} STATIC ${library_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${WENQU_WARNINGS}>")
  wenqu_precompile(${name} library ${library_PRECOMPILED})
endfunction()

# wenqu_precompile(TARGET KIND [HEADERS...]) precompiles what most of a target's files include of the standard library, and
# these foreign headers. Targets of one kind are compiled alike: those that name the same headers share them.
function(wenqu_precompile target kind)
  if(NOT WENQU_FROM_NOTHING)
    return()
  endif()
  string(MAKE_C_IDENTIFIER "WENQU_PRECOMPILED_${kind}_${ARGN}" property)
  get_property(owner GLOBAL PROPERTY ${property})
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    target_precompile_headers(${target} PRIVATE
      <algorithm> <chrono> <functional> <map> <memory> <mutex> <string> <unordered_map> <vector> <fmt/format.h> ${ARGN})
    set_property(GLOBAL PROPERTY ${property} ${target})
  endif()
endfunction()

# wenqu_test(NAME [LABELS LABEL] [COST COST] SOURCES...) makes one GoogleTest program and registers each of its cases. What costs
# most is begun first, so that nothing long is left to run alone. What tests do themselves is little beside what they call: their
# own code is compiled quickly rather than well.
function(wenqu_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "" "LABELS;COST" "")
  add_executable(${name} ${test_UNPARSED_ARGUMENTS})
  target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${WENQU_WARNINGS}>")
  if(NOT WENQU_SANITIZE)
    target_compile_options(${name} PRIVATE "$<$<CONFIG:Release>:-O1>")
  endif()
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE GTest::gtest_main GTest::gmock)
  wenqu_precompile(${name} test <gmock/gmock.h> <gtest/gtest.h>)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300 COST "0${test_COST}" LABELS "${test_LABELS}")
endfunction()
