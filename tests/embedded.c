/* A program with Python inside, as DAWs are: runs a script a number of times in one of three lives
   of the interpreter. embedded same|sub|fresh SCRIPT TIMES */
#include <Python.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int once(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return 2;
    return PyRun_SimpleFileEx(file, path, 1);
}

int main(int argc, char **argv) {
    int times = atoi(argv[3]), failed = 0;
    if (argc != 4) return 2;
    if (strcmp(argv[1], "fresh")) Py_Initialize();
    for (int i = 0; i < times && !failed; i++) {
        if (!strcmp(argv[1], "fresh")) {
            Py_Initialize();
            failed = once(argv[2]);
            Py_Finalize();
        } else if (!strcmp(argv[1], "sub")) {
            PyThreadState *outer = PyThreadState_Get();
            PyThreadState *inner = Py_NewInterpreter();
            failed = once(argv[2]);
            Py_EndInterpreter(inner);
            PyThreadState_Swap(outer);
        } else {
            failed = once(argv[2]);
        }
    }
    return failed ? 1 : 0;
}
