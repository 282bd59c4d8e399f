# The kernels as a static, position-independent C++ library: find_package(unrolled), target unrolled::unrolled. Its public headers
# name neither Eigen nor OpenMP, and a program that links it may be compiled for any ISA level of its own.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(arch native)
if(UNROLLED_ARCH)
  set(arch ${UNROLLED_ARCH})
endif()
if(NOT TARGET unrolled_kernels_native)
  unrolled_kernels(unrolled_kernels_native ${arch})
endif()
add_library(unrolled STATIC $<TARGET_OBJECTS:unrolled_kernels_native>)
add_library(unrolled::unrolled ALIAS unrolled)
set_target_properties(unrolled PROPERTIES LINKER_LANGUAGE CXX)
target_compile_features(unrolled PUBLIC cxx_std_17)
# Its threads outlive a plugin that is unloaded.
target_link_options(unrolled INTERFACE "LINKER:-z,nodelete")
target_include_directories(unrolled PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src/cpp/include>
                                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(unrolled PRIVATE Threads::Threads)
if(OpenMP_CXX_FOUND)
  target_link_libraries(unrolled PRIVATE OpenMP::OpenMP_CXX)
endif()
if(UNROLLED_SANITIZE)
  target_link_options(unrolled PUBLIC -fsanitize=${UNROLLED_SANITIZE})
endif()

install(TARGETS unrolled EXPORT unrolledTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/cpp/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} OPTIONAL)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/unrolled)
install(EXPORT unrolledTargets NAMESPACE unrolled:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/unrolledConfig.cmake.in ${PROJECT_BINARY_DIR}/unrolledConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/unrolledConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/unrolledConfig.cmake ${PROJECT_BINARY_DIR}/unrolledConfigVersion.cmake
        DESTINATION ${package_dir})
