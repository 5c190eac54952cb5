// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Reflection;
using System.Text;
using Mooncake.Mesh.Segments.Interop;

namespace Mooncake.Mesh.Tests.Segments;

/// <summary>Each constant of <see cref="LibC"/> has the value its C header gives it here.</summary>
public sealed class LibCConstantsTests
{
    [Fact]
    public void Constants_are_those_of_the_C_headers()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/gcc"), "there is no gcc to ask");
        var program = new StringBuilder("""
            #define _GNU_SOURCE
            #include <errno.h>
            #include <fcntl.h>
            #include <stdio.h>
            #include <linux/mempolicy.h>
            #include <sys/mman.h>
            #include <sys/syscall.h>
            #ifndef MADV_POPULATE_WRITE
            #define MADV_POPULATE_WRITE 23
            #endif

            """);
        foreach (FieldInfo field in typeof(LibC).GetFields(BindingFlags.Public | BindingFlags.Static))
        {
            if (field.IsLiteral)
                program.Append($"_Static_assert((long){field.Name} == {field.GetRawConstantValue()}, \"{field.Name}\");\n");
        }

        program.Append($"_Static_assert({LibC.SYS_mbind} == SYS_mbind, \"SYS_mbind\");\n");
        program.Append($"_Static_assert({LibC.MAP_FAILED} == -1, \"MAP_FAILED\");\n");
        Assert.Equal("", Compile(program.ToString()));
    }

    private static string Compile(string program)
    {
        using Process gcc = Process.Start(new ProcessStartInfo("/usr/bin/gcc", "-x c -fsyntax-only -")
        {
            RedirectStandardInput = true,
            RedirectStandardError = true,
        })!;
        gcc.StandardInput.Write(program);
        gcc.StandardInput.Close();
        string complaints = gcc.StandardError.ReadToEnd();
        gcc.WaitForExit();
        return complaints;
    }
}
