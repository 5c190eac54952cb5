// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Tcp;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>What cannot be is refused in one line that says why, and what to do.</summary>
[Collection(RealDevices.Name)]
public sealed class RefusalDeviceTests
{
    public RefusalDeviceTests() => RealDevices.SkipUnlessOurs();

    [Fact]
    public void A_GID_index_beyond_the_table()
    {
        string message = Refusal(new RdmaOptions { GidIndex = 4711 });
        Assert.Contains("the GID index is 4711; the port has 0 to ", message);
        Assert.Contains("set one of these", message);
        Assert.Contains("the GID index is 4712", Refusal(new RdmaOptions { GidIndex = 4712, Devices = ["rxe0"] }));
    }

    [Fact]
    public void A_device_that_is_not_there()
    {
        string message = Refusal(new RdmaOptions { Devices = ["rxe0", "mlx5_7"] });
        Assert.Contains("'mlx5_7' is not there; there are: rxe0, rxe1", message);
        Assert.Contains("'mlx5_8' is not there", Refusal(new RdmaOptions { Excluded = ["mlx5_8"] }));
        Assert.Contains("0 rdma devices are left", Refusal(new RdmaOptions { Excluded = ["rxe0", "rxe1"] }));
    }

    [Fact]
    public void A_topology_that_names_what_is_not_there()
    {
        Assert.Contains("topology[cpu:0][0] has 'mlx5_7', which is no RDMA device here; there are rxe0, rxe1",
            Refusal(new RdmaOptions { Topology = """{"cpu:0":[["mlx5_7"],[]]}""" }));
        Assert.Contains("topology is no JSON", Refusal(new RdmaOptions { Topology = "cpu:0=rxe0" }));
    }

    [Fact]
    public async Task A_port_beyond_the_last_and_a_device_of_which_the_file_is_closed_and_memory_beyond_the_limit()
    {
        Assert.Contains("rdma port is 2; rxe0 has port 1: set one that it has", Refusal(new RdmaOptions { Port = 2 }));
        const int Lockable = 1 << 20;
        // A device that was gone meanwhile may have another number.
        string file = InfinibandSysfs.Host.VerbsFile("rxe1")!;
        RealDevices.Run("chmod", "0600", file);
        try
        {
            using var child = Child.Start("refused", $"{Lockable}");
            string closed = await child.LineAsync();
            Assert.Contains($"rxe1: permission denied: this user may not read and write {file}: put it in", closed);
            // The other one is used where none is asked for by name.
            Assert.Equal("rxe0:1", await child.LineAsync());
            string locked = await child.LineAsync();
            Assert.StartsWith("rxe0: ", locked);
            Assert.Contains($"{4 * Lockable} bytes have to be locked", locked);
            Assert.Contains($"the limit (RLIMIT_MEMLOCK) is {Lockable}: raise it: LimitMEMLOCK=infinity", locked);
        }
        finally
        {
            RealDevices.Run("chmod", "0666", file);
        }
    }

    private static string Refusal(RdmaOptions options)
    {
        var engine = RdmaEngine.Open(options, new MeshRuntime { Network = new SocketNetwork(), Log = new LogLines() });
        Assert.False(engine.Succeeded);
        // What was asked for by name or number and is not there is refused also where rdma is only one way of several.
        Assert.Equal(MeshErrorCode.InvalidArgument, engine.Error!.Code);
        Assert.DoesNotContain('\n', engine.Error!.Message);
        return engine.Error.Message;
    }
}
