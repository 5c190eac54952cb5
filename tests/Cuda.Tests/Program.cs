// SPDX-License-Identifier: Apache-2.0

using Xunit.Runner.InProc.SystemConsole;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>Runs the tests, or is the other process that one of them has started.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] arguments)
    {
        if (arguments is not [Child.Mark, var role, .. var rest])
            return await ConsoleRunner.Run(arguments);
        Child.Run(role, rest);
        return 0;
    }
}
