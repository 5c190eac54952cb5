// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Devices;

/// <summary>Tests that need devices: one after another, as they share links and take them down.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class RealDevices
{
    internal const string Name = "real devices";

    /// <summary>Set to 1 where there must be devices, and where they are nobody else's.</summary>
    private const string Required = "MESH_TEST_VERBS";

    private static bool AreRequired => Environment.GetEnvironmentVariable(Required) == "1";

    /// <summary>Opens the device at a place among those with an active port; ends the test without one.</summary>
    internal static VerbsDevice Open(int place = 0)
    {
        if (LibIbverbs.NotSupportedReason is { } reason)
            Absent(reason);
        string[] usable = [.. DeviceListing.All().Where(device => device.NotUsableReason is null).Select(d => d.Name)];
        if (usable.Length <= place)
            Absent($"{usable.Length} RDMA devices that open, and {place + 1} are needed");
        VerbsDevice? device = VerbsDevice.Open(usable[place], out string? refusal);
        Assert.True(device is not null, refusal);
        return device;
    }

    /// <summary>Ends the test where links and devices may be in use by others.</summary>
    internal static void SkipUnlessOurs() =>
        Assert.SkipUnless(AreRequired, $"takes a link down: only with {Required}=1");

    /// <summary>Runs a program that must succeed.</summary>
    internal static void Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(program, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }

    private static void Absent(string reason)
    {
        Assert.False(AreRequired, $"{Required}=1, and {reason}");
        Assert.Skip(reason);
    }
}
