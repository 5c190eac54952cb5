// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using System.CommandLine.Invocation;
using System.Reflection;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Cuda;
using Mooncake.Mesh.Verbs;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"version": what this build is and what it can use here.</summary>
internal static class VersionCommand
{
    /// <summary>The version of this build.</summary>
    internal static string Version { get; } =
        typeof(VersionCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!
            .InformationalVersion;

    internal static Command Create(Terminal terminal)
    {
        var json = Flags.Json();
        var command = new Command("version", "Print the version, and which hardware can be used here.") { json };
        command.SetAction(parsed =>
        {
            string verbs = LibIbverbs.NotSupportedReason ?? "supported";
            string cuda = LibCuda.NotSupportedReason ?? "supported";
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(fields =>
                {
                    fields.WriteString("version", Version);
                    fields.WriteString("runtime", RuntimeInformation.FrameworkDescription);
                    fields.WriteString("architecture", RuntimeInformation.ProcessArchitecture.ToString());
                    fields.WriteString("verbs", verbs);
                    fields.WriteString("cuda", cuda);
                });
            }
            else
            {
                terminal.WriteLine($"{MeshCommand.Name} {Version}");
                terminal.WriteLine(
                    $"runtime  {RuntimeInformation.FrameworkDescription} {RuntimeInformation.ProcessArchitecture}");
                terminal.WriteLine($"verbs    {verbs}");
                terminal.WriteLine($"cuda     {cuda}");
            }

            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>What "--version" does: one line, and nothing is looked at.</summary>
    internal static SynchronousCommandLineAction Short(Terminal terminal) => new ShortAction(terminal);

    private sealed class ShortAction(Terminal terminal) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            terminal.WriteLine($"{MeshCommand.Name} {Version}");
            return ExitCode.Ok;
        }
    }
}
