# unrolled_kernels(level arch): an object library of all kernels compiled for one ISA level. Eigen inlines its packets into every
# caller, so objects of two levels must never meet in one binary.

file(GLOB_RECURSE kernel_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cpp/*.cpp)
list(FILTER kernel_sources EXCLUDE REGEX "/src/cpp/(bindings|isa)/")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Versioning the tile's k loop for unit stride makes its accumulators spill.
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/cpp/gemm/tile.cpp PROPERTIES
                              COMPILE_OPTIONS "-fno-version-loops-for-strides")
endif()

add_library(unrolled_settings INTERFACE)
target_include_directories(unrolled_settings INTERFACE ${PROJECT_SOURCE_DIR}/src/cpp ${PROJECT_SOURCE_DIR}/src/cpp/include)
target_link_libraries(unrolled_settings INTERFACE Eigen3::Eigen Threads::Threads)
if(OpenMP_CXX_FOUND)
  target_link_libraries(unrolled_settings INTERFACE OpenMP::OpenMP_CXX)
endif()
target_compile_definitions(unrolled_settings INTERFACE EIGEN_MPL2_ONLY EIGEN_DONT_PARALLELIZE)
# Every fused multiply-add is written as one: the compiler may not make its own, or results would differ between kernels.
target_compile_options(unrolled_settings INTERFACE -ffp-contract=off -Wall -Wextra -Wno-ignored-attributes)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(unrolled_settings INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)  # its own AVX-512 header
endif()
if(UNROLLED_WERROR)
  target_compile_options(unrolled_settings INTERFACE -Werror)
endif()
if(UNROLLED_SANITIZE)
  set(sanitize -fsanitize=${UNROLLED_SANITIZE} -fno-omit-frame-pointer)
  if(UNROLLED_SANITIZE MATCHES "undefined")
    list(APPEND sanitize -fno-sanitize-recover=undefined)
  endif()
  target_compile_options(unrolled_settings INTERFACE ${sanitize})
  target_link_options(unrolled_settings INTERFACE ${sanitize})
endif()

# The flag for an ISA level: v2, v3, v4 are the x86-64 levels, generic is the compiler's own baseline, the rest is passed on.
function(unrolled_arch_flag level result)
  if(level MATCHES "^v[234]$")
    set(${result} -march=x86-64-${level} PARENT_SCOPE)
  elseif(level STREQUAL "generic")
    set(${result} "" PARENT_SCOPE)
  else()
    set(${result} -march=${level} PARENT_SCOPE)
  endif()
endfunction()

function(unrolled_kernels target level)
  unrolled_arch_flag(${level} flag)
  add_library(${target} OBJECT ${kernel_sources})
  target_compile_options(${target} PUBLIC ${flag})
  target_link_libraries(${target} PUBLIC unrolled_settings)
  target_precompile_headers(${target} PRIVATE <Eigen/Core>)  # halves the time of a build
endfunction()
