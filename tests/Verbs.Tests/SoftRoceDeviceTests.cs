// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Verbs.Tests;

/// <summary>
/// What the virtual machine of tests/SoftRoce offers. Elsewhere a test is skipped; with <c>MESH_TEST_VERBS=1</c> a
/// machine without these devices is a failure.
/// </summary>
public sealed class SoftRoceDeviceTests
{
    private const string Devices = "/sys/class/infiniband";

    public SoftRoceDeviceTests() => Assert.SkipUnless(Environment.GetEnvironmentVariable("MESH_TEST_VERBS") == "1",
        "MESH_TEST_VERBS is not 1: the devices of tests/SoftRoce are not expected here");

    [Fact]
    public void Verbs_are_supported() => Assert.Null(LibIbverbs.NotSupportedReason);

    [Fact]
    public void Two_devices_are_there_and_their_ports_are_active()
    {
        var names = new DirectoryInfo(Devices).GetDirectories().Select(device => device.Name).Order();
        Assert.Equal(["rxe0", "rxe1"], names);
        Assert.All(names,
            name => Assert.Equal("4: ACTIVE", File.ReadAllText($"{Devices}/{name}/ports/1/state").Trim()));
    }
}
