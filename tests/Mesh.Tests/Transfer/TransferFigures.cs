// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>
/// GB/s of the bulk transports beside plain copies in the same run; no pass or fail. Run with: -explicit only -class
/// Mooncake.Mesh.Tests.Transfer.TransferFigures -showLiveOutput.
/// </summary>
[Collection(nameof(AloneInProcess))]
public sealed class TransferFigures(ITestOutputHelper output)
{
    private const int Rounds = 5;
    private const long RoundBytes = 512 << 20;

    [Theory(Explicit = true)]
    [InlineData(1)]
    [InlineData(16)]
    public async Task Reads(int mebibytes)
    {
        int size = mebibytes << 20;
        int objects = (192 << 20) / size;
        await using var world = await TransferWorld.StartAsync(256 << 20);
        byte[] value = new byte[size];
        var reads = new ExtentRead[objects];
        for (int i = 0; i < objects; i++)
            reads[i] = world.ReadOf(world.Hold(value));
        using var destination = new GuardedMemory(size);
        await using var tcp = new TcpTransport(world.Dialer(sameHost: false));
        await using var unix = new TcpTransport(world.Dialer());
        await using var shm = new ShmTransport(world.Dialer());
        for (int round = 0; round < Rounds; round++)
        {
            double copy = Plain(world, reads, destination, stream: false);
            double streaming = Plain(world, reads, destination, stream: true);
            double overShm = await TimeAsync(shm, reads, destination);
            double overUnix = await TimeAsync(unix, reads, destination);
            double overTcp = await TimeAsync(tcp, reads, destination);
            output.WriteLine($"{mebibytes} MiB, GB/s: copy {copy:0.0}, non-temporal copy {streaming:0.0}, "
                + $"shm {overShm:0.0}, unix socket {overUnix:0.0}, tcp {overTcp:0.0}");
        }
    }

    private static unsafe double Plain(TransferWorld world, ExtentRead[] reads, GuardedMemory destination, bool stream)
    {
        var watch = Stopwatch.StartNew();
        long bytes = 0;
        for (int i = 0; bytes < RoundBytes; bytes += destination.Range.Length, i++)
        {
            byte* from = world.Store.Segments[0].Memory.Host!.Pointer + reads[i % reads.Length].Offset;
            NativeCopy.Copy(from, (byte*)destination.Range.Address, destination.Range.Length, stream);
        }

        return bytes / watch.Elapsed.TotalSeconds / 1e9;
    }

    private static async Task<double> TimeAsync(ITransport transport, ExtentRead[] reads, GuardedMemory destination)
    {
        var watch = Stopwatch.StartNew();
        long bytes = 0;
        for (int i = 0; bytes < RoundBytes; bytes += destination.Range.Length, i++)
        {
            Assert.Equal(TransferOutcome.Done, await transport.ReadAsync(reads[i % reads.Length], destination.Range,
                TimeSpan.FromSeconds(60), CancellationToken.None));
        }

        return bytes / watch.Elapsed.TotalSeconds / 1e9;
    }
}
