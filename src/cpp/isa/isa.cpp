// The Python module `_isa`: which x86-64 levels the processor has and the operating system supports. Compiled for the
// baseline, so it runs where the kernels of a higher level would stop with an illegal instruction.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace {

#if defined(__x86_64__)
constexpr bool all(unsigned value, unsigned bits) { return (value & bits) == bits; }

/// Which register sets the operating system saves at a context switch (XCR0); 0 without XGETBV.
unsigned saved_registers(unsigned ecx1) {
  constexpr unsigned osxsave = 1u << 27;
  if (!all(ecx1, osxsave)) return 0;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

/// 1, 2, 3 or 4: the highest level of the x86-64 psABI whose every instruction set is there.
int x86_level() {
  unsigned eax, ebx, ecx1, edx, ebx7 = 0, ecx_extended = 0, unused;
  if (!__get_cpuid(1, &eax, &ebx, &ecx1, &edx)) return 1;
  if (!__get_cpuid_count(7, 0, &unused, &ebx7, &eax, &edx)) ebx7 = 0;
  if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx_extended, &edx)) ecx_extended = 0;
  const unsigned saved = saved_registers(ecx1);

  constexpr unsigned sse3 = 1u << 0, ssse3 = 1u << 9, cx16 = 1u << 13, sse41 = 1u << 19, sse42 = 1u << 20,
                     popcnt = 1u << 23;
  constexpr unsigned lahf = 1u << 0;
  if (!all(ecx1, sse3 | ssse3 | cx16 | sse41 | sse42 | popcnt) || !all(ecx_extended, lahf)) return 1;

  constexpr unsigned fma = 1u << 12, movbe = 1u << 22, avx = 1u << 28, f16c = 1u << 29;
  constexpr unsigned bmi1 = 1u << 3, avx2 = 1u << 5, bmi2 = 1u << 8, lzcnt = 1u << 5;
  constexpr unsigned xmm_ymm = 0x6;
  if (!all(ecx1, fma | movbe | avx | f16c) || !all(ebx7, bmi1 | avx2 | bmi2) || !all(ecx_extended, lzcnt) ||
      !all(saved, xmm_ymm))
    return 2;

  constexpr unsigned avx512f = 1u << 16, avx512dq = 1u << 17, avx512cd = 1u << 28, avx512bw = 1u << 30,
                     avx512vl = 1u << 31;
  constexpr unsigned opmask_zmm = 0xe0;
  if (!all(ebx7, avx512f | avx512dq | avx512cd | avx512bw | avx512vl) || !all(saved, opmask_zmm)) return 3;
  return 4;
}
#else
int x86_level() { return 0; }
#endif

PyObject* python_x86_level(PyObject*, PyObject*) { return PyLong_FromLong(x86_level()); }

PyMethodDef methods[] = {
    {"x86_level", python_x86_level, METH_NOARGS,
     "x86_level() -> int: highest x86-64 level of this processor (1 to 4), 0 on other processors."},
    {nullptr, nullptr, 0, nullptr}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_isa", "What this processor can run.", 0, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__isa() { return PyModule_Create(&definition); }
