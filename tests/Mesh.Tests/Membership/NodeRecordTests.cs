// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Membership;

public sealed class NodeRecordTests
{
    [Fact]
    public void A_record_comes_back_as_it_was_written()
    {
        var record = new NodeRecord
        {
            NodeId = "n1",
            Incarnation = ulong.MaxValue,
            Session = 7,
            Endpoints = ["[::1]:7000"],
            Labels = new Dictionary<string, string> { ["rack"] = "r1" },
            Ring = new RingShare { Weight = 5, Leaving = true },
            Segments = [new SegmentRecord { Id = 1, Location = "cpu:1", Length = 4096, Transports = ["tcp"] }],
        };
        Assert.Equal(record.ToJson(), NodeRecord.FromJson(record.ToJson())!.ToJson());
    }

    [Theory]
    [InlineData("{\"nodeId\":\"a\",\"incarnation\":1}")]
    [InlineData("{\"nodeId\":\"a\",\"incarnation\":1,\"labels\":null,\"ring\":null,"
        + "\"segments\":[null],\"endpoints\":null}")]
    public void What_another_version_leaves_out_has_its_default(string json)
    {
        var record = NodeRecord.FromJson(Encoding.UTF8.GetBytes(json))!;
        Assert.Equal((1, 1, 100), (record.WireMin, record.WireMax, record.Ring.Weight));
        Assert.Empty(record.Labels);
        Assert.Empty(record.Endpoints);
        Assert.Empty(record.Segments);
        Assert.Equal("", record.BootId);
        _ = new MeshView(new MeshConfig { MeshId = 1, Slots = 64 }, 1, [record]).Slots;
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{\"nodeId\":\"a\"}")]
    [InlineData("{\"nodeId\":null,\"incarnation\":1}")]
    [InlineData("{\"nodeId\":\"\",\"incarnation\":1}")]
    public void What_is_no_record_is_none(string json) =>
        Assert.Null(NodeRecord.FromJson(Encoding.UTF8.GetBytes(json)));

    [Fact]
    public void A_weight_out_of_range_is_bounded()
    {
        byte[] json = Encoding.UTF8.GetBytes("{\"nodeId\":\"a\",\"incarnation\":1,\"ring\":{\"weight\":-5}}");
        Assert.Equal(0, NodeRecord.FromJson(json)!.Ring.Weight);
    }
}
