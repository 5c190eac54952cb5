// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Cluster;

/// <summary>Transfer engines that find each other by names in a real etcd.</summary>
public sealed class EngineNamesTests
{
    private const string Key = "/mooncake-mesh/default/engines/decode-1";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Ttl = TimeSpan.FromSeconds(3);

    [Fact]
    public async Task An_engine_is_found_by_its_name_as_long_as_it_lives()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        using var prefill = Open(etcd, "prefill-1").Value;
        Assert.Equal(TransferErrorCode.Metadata, prefill.OpenSegment("decode-1").Error!.Code);
        using (var decode = Open(etcd, "decode-1").Value)
        {
            Assert.Equal("decode-1", decode.SegmentName);
            int segment = prefill.OpenSegment("decode-1").Value;
            MoveBothWays(prefill, segment, decode);
            Assert.Contains(decode.LocalAddress, await etcd.CtlAsync("get", Key));

            var second = Open(etcd, "decode-1");
            Assert.Equal(TransferErrorCode.Metadata, second.Error!.Code);
            Assert.Contains("in use", second.Error.Message);
            Assert.Null(prefill.SendProbe("decode-1"));
        }

        Assert.DoesNotContain("decode-1", await etcd.CtlAsync("get", Key));
        Assert.Equal(TransferErrorCode.Metadata, prefill.OpenSegment("decode-1").Error!.Code);
        await etcd.CtlAsync("put", Key, "no json");
        Assert.Equal(TransferErrorCode.MalformedJson, prefill.OpenSegment("decode-1").Error!.Code);

        // What a dead process has left, be it on a lease that still lives, does not keep its successor waiting.
        await etcd.CtlAsync("put", Key, """{"name":"decode-1","address":"127.0.0.1:1","incarnation":5}""");
        Assert.Equal(TransferErrorCode.Socket, prefill.OpenSegment("decode-1").Error!.Code);
        using var successor = Open(etcd, "decode-1").Value;
        MoveBothWays(prefill, prefill.OpenSegment("decode-1").Value, successor);
    }

    [Fact]
    public async Task A_record_of_a_process_that_is_gone_leads_to_no_other()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        using var prefill = Open(etcd, "prefill-1").Value;
        using var decode = Open(etcd, "decode-1").Value;
        await etcd.CtlAsync("put", Key,
            $$"""{"name":"decode-1","address":"{{decode.LocalAddress}}","incarnation":5}""");
        Assert.Equal(TransferErrorCode.Endpoint, prefill.OpenSegment("decode-1").Error!.Code);
    }

    [Fact]
    public async Task Without_etcd_open_segments_go_on_and_after_it_names_are_there_again()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        using var prefill = Open(etcd, "prefill-1").Value;
        using var decode = Open(etcd, "decode-1").Value;
        int segment = prefill.OpenSegment("decode-1").Value;
        await etcd.KillAsync();
        MoveBothWays(prefill, segment, decode);
        Assert.Equal(TransferErrorCode.Metadata, prefill.OpenSegment("decode-1").Error!.Code);
        MoveBothWays(prefill, segment, decode);
        await etcd.RestartAsync(wipe: true);
        await Eventually.True(() => prefill.OpenSegment("decode-1").Succeeded, Limit,
            () => "the name did not come back");
        Assert.Equal(segment, prefill.OpenSegment("decode-1").Value);
        MoveBothWays(prefill, segment, decode);
    }

    private static TransferResult<TransferEngine> Open(EtcdProcess etcd, string name) =>
        TransferEngine.Create(new TransferEngineOptions
        {
            Metadata = etcd.Endpoint.Replace("http://", "etcd://", StringComparison.Ordinal),
            LocalName = name,
            Host = "127.0.0.1",
            LeaseTtl = Ttl,
        });

    private static void MoveBothWays(TransferEngine near, int segment, TransferEngine far)
    {
        nint here = near.AllocateManaged(4096).Value;
        nint there = far.AllocateManaged(4096).Value;
        unsafe
        {
            new Span<byte>((void*)here, 4096).Fill(0x5a);
            foreach (var opcode in (TransferOpcode[])[TransferOpcode.Write, TransferOpcode.Read])
            {
                var moved = near.Transfer([new(opcode, here, segment, (ulong)there, 4096)]);
                Assert.Equal(TransferState.Completed, moved.Value.State);
                Assert.Equal(-1, new Span<byte>((void*)there, 4096).IndexOfAnyExcept((byte)0x5a));
                new Span<byte>((void*)here, 4096).Clear();
            }
        }

        Assert.Null(near.FreeManaged(here, 4096));
        Assert.Null(far.FreeManaged(there, 4096));
    }
}
