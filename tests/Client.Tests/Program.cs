// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Tests.Engine;
using Xunit.Runner.InProc.SystemConsole;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Runs the tests, or is the other process that one of them has started.</summary>
internal static class Program
{
    private static Task<int> Main(string[] arguments) => arguments is [EngineChild.Mark, var name, var transports]
        ? Task.FromResult(EngineChild.Run(name, transports))
        : ConsoleRunner.Run(arguments);
}
