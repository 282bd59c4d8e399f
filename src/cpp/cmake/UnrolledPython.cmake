# One Python extension per ISA level, _core_v2, _core_v3, _core_v4 (`import unrolled` picks one), and _isa, which tells what the
# processor can do and runs on all of them. With UNROLLED_ARCH, or outside a wheel, a single one: _core_native.

execute_process(COMMAND ${Python_EXECUTABLE} -m pybind11 --cmakedir OUTPUT_VARIABLE pybind11_DIR
                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(PYBIND11_FINDPYTHON ON)
find_package(pybind11 2.13 CONFIG REQUIRED)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(levels v2 v3 v4)
else()
  set(levels generic)
endif()
if(UNROLLED_ARCH OR NOT SKBUILD OR SKBUILD_STATE STREQUAL "editable")
  set(levels native)
endif()

# One line per module in the wheel: nothing but its entry point is visible, and symbols are stripped.
file(WRITE ${PROJECT_BINARY_DIR}/exports.map "{ global: PyInit_*; local: *; };\n")
function(unrolled_extension name)
  python_add_library(${name} MODULE WITH_SOABI ${ARGN})
  target_link_options(${name} PRIVATE -Wl,--version-script=${PROJECT_BINARY_DIR}/exports.map -Wl,--gc-sections)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_link_options(${name} PRIVATE -s)
  endif()
  if(SKBUILD)
    install(TARGETS ${name} LIBRARY DESTINATION unrolled)
  else()
    set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_SOURCE_DIR}/src/python/unrolled)
  endif()
endfunction()

file(GLOB binding_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cpp/bindings/*.cpp)
# It must not see Python.h, which the precompiled header and its neighbours have.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/cpp/bindings/trace.cpp PROPERTIES
  SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
foreach(level IN LISTS levels)
  set(arch ${level})
  if(level STREQUAL "native" AND UNROLLED_ARCH)
    set(arch ${UNROLLED_ARCH})
  endif()
  unrolled_kernels(unrolled_kernels_${level} ${arch})
  unrolled_extension(_core_${level} ${binding_sources})
  target_link_libraries(_core_${level} PRIVATE unrolled_kernels_${level} pybind11::pybind11)
  # Of 4 to 8 s for a file, 3.5 compile what pybind11 inlines into every one: eight at a time take a quarter of the time.
  set_target_properties(_core_${level} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  target_precompile_headers(_core_${level} PRIVATE <Eigen/Core> <pybind11/numpy.h> <pybind11/stl.h>)
  unrolled_arch_flag(${arch} flag)
  string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${build_type}} ${flag} -ffp-contract=off" flags)
  target_compile_definitions(_core_${level} PRIVATE
    UNROLLED_MODULE=_core_${level} UNROLLED_ISA="${level}" UNROLLED_VERSION="${PROJECT_VERSION}"
    UNROLLED_BUILD_TYPE="${CMAKE_BUILD_TYPE}" UNROLLED_FLAGS="${flags}"
    UNROLLED_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
endforeach()

unrolled_extension(_isa ${PROJECT_SOURCE_DIR}/src/cpp/isa/isa.cpp)
