// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;
using System.Net.NetworkInformation;
using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Node.Doctor;
using Mooncake.Mesh.Verbs;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>"doctor": whether this host has what makes a node fast, and what to do where it has not.</summary>
internal static class DoctorCommand
{
    internal static Command Create(Terminal terminal)
    {
        Option<string?> config = new("--config", "-c")
        {
            Description = "configuration file of the node, for its segments",
            HelpName = "FILE",
        };
        Option<string?> segments = new("--segments") { Description = "memory to be contributed, as for serve" };
        Option<bool> json = Flags.Json();
        var command = new Command("doctor",
            "Look at this host's memory, RDMA devices and GPUs, and say what to change. Exit code 1: problems.")
        {
            config, segments, json,
        };
        command.SetAction(parsed =>
        {
            (ServeOptions options, IReadOnlyList<MeshError> errors) = ServeOptionsLoader.Load(
                parsed.GetValue(config), terminal.Environment,
                setting => setting.Name == "segments" ? parsed.GetValue(segments) : null);
            if (errors.Count > 0)
            {
                foreach (MeshError error in errors)
                    MeshCommand.Complain(terminal, error.Stage, error.Message);
                return ExitCode.Usage;
            }

            var report = new DoctorReport(
                HostReader.Read("/", Locals(), Verbs()) with { Cuda = CudaReader.Read() }, NeedOf(options));
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(report.Write);
            }
            else
            {
                foreach (string line in report.Lines())
                    terminal.WriteLine(line);
            }

            return report.Problems == 0 ? ExitCode.Ok : ExitCode.Refused;
        });
        return command;
    }

    private static Need NeedOf(ServeOptions options) =>
        new([.. options.Segments.Where(segment => !segment.ToSegmentOptions().IsOnDevice)
            .Select(segment => (segment.Size.Bytes, segment.Location, segment.HugePages))]);

    private static VerbsFacts Verbs()
    {
        var largest = new Dictionary<string, long>();
        foreach (DeviceListing listed in DeviceListing.All())
        {
            if (listed.NotUsableReason is null && VerbsDevice.Open(listed.Name, out _) is { } device)
            {
                using (device)
                    largest[listed.Name] = device.Limits.MaxMrSize;
            }
        }

        return new VerbsFacts(LibIbverbs.NotSupportedReason, largest);
    }

    private static LocalAddress[] Locals() =>
    [
        .. NetworkInterface.GetAllNetworkInterfaces()
            .SelectMany(card => card.GetIPProperties().UnicastAddresses)
            .Select(unicast => new LocalAddress(unicast.Address, unicast.PrefixLength)),
    ];
}
