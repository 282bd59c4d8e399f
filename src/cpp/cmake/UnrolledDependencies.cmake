# Eigen's headers (from the system, or from the package index inside a Python build), OpenMP where the compiler has it, threads.

if(SKBUILD OR UNROLLED_PYTHON)
  find_package(Python 3.10 COMPONENTS Interpreter Development.Module REQUIRED)
endif()

find_package(Eigen3 3.4 QUIET NO_MODULE)
if(NOT Eigen3_FOUND)
  find_package(Python COMPONENTS Interpreter REQUIRED)
  execute_process(COMMAND ${Python_EXECUTABLE} -m cmeel cmake
                  OUTPUT_VARIABLE cmeel_prefix OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE cmeel_failed)
  if(cmeel_failed)
    message(FATAL_ERROR "Eigen 3.4 or newer was not found. Install it (Debian: libeigen3-dev), "
                        "or run `${Python_EXECUTABLE} -m pip install cmeel-eigen`.")
  endif()
  find_package(Eigen3 3.4 REQUIRED NO_MODULE PATHS ${cmeel_prefix})
endif()
message(STATUS "Eigen ${Eigen3_VERSION}: ${Eigen3_DIR}")

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
# The thread sanitizer does not know OpenMP's own synchronisation: that build runs on plain threads.
if(NOT UNROLLED_SANITIZE MATCHES "thread")
  find_package(OpenMP COMPONENTS CXX)
  if(NOT OpenMP_CXX_FOUND)
    message(WARNING "The compiler has no OpenMP: threads are started for every call, which is slower for small work.")
  endif()
endif()
