// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Tests.Transfers;
using Xunit.Runner.InProc.SystemConsole;

namespace Mooncake.Mesh.Verbs.Tests;

/// <summary>Runs the tests, or is the other process that one of them has started.</summary>
internal static class Program
{
    private static Task<int> Main(string[] arguments) => arguments is [Child.Mark, var role, .. var rest]
        ? Child.RunAsync(role, rest)
        : ConsoleRunner.Run(arguments);
}
