# wenqu_cuda_interface(FILES...) tells files the digest of the headers by which the CUDA module and those who load it
# understand each other, as WENQU_CUDA_INTERFACE: kernels are launched by number, with arguments as they lie in memory.
file(GLOB headers CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/*.h" "${CMAKE_CURRENT_LIST_DIR}/kernels/*.h")
list(APPEND headers "${CMAKE_CURRENT_LIST_DIR}/module/entries.cu" "${PROJECT_SOURCE_DIR}/base/status.h"
            "${PROJECT_SOURCE_DIR}/engine/cache/kv_type.h" "${PROJECT_SOURCE_DIR}/engine/gguf/type.h")
list(SORT headers)
set_property(DIRECTORY "${PROJECT_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${headers})
set(digests)
foreach(header IN LISTS headers)
  file(SHA256 "${header}" digest)
  string(APPEND digests "${digest}")
endforeach()
string(SHA256 digest "${digests}")
string(SUBSTRING "${digest}" 0 16 wenqu_cuda_digest)

function(wenqu_cuda_interface)
  set_property(SOURCE ${ARGV} APPEND PROPERTY COMPILE_DEFINITIONS "WENQU_CUDA_INTERFACE=\"${wenqu_cuda_digest}\"")
endfunction()
