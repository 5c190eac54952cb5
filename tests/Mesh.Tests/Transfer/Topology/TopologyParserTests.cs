// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Topology;

namespace Mooncake.Mesh.Tests.Transfer.Topology;

public sealed class TopologyParserTests
{
    private static readonly NicDevice[] Nics = [new("mlx5_0", 0, PciPath.None), new("mlx5_1", 1, PciPath.None)];

    [Fact]
    public void What_is_written_is_read_again()
    {
        const string Text = """{"cpu:0":[["mlx5_1"],["mlx5_0"]],"cuda:3":[["mlx5_0","mlx5_1"],[]]}""";
        var matrix = TopologyParser.Parse(Text, Nics).Value;
        Assert.Equal(Text, matrix.ToJson());
        Assert.Equal(["mlx5_1"], matrix.For("cpu:0").Preferred);
    }

    [Fact]
    public void A_location_that_is_left_out_has_every_device_named()
    {
        var matrix = TopologyParser.Parse("""{"cpu:0":[["mlx5_1"],[]]}""", Nics).Value;
        Assert.Equal(["mlx5_1"], matrix.For("cpu:1").Preferred);
        Assert.Empty(matrix.For("*").Others);
    }

    [Theory]
    [InlineData("{", "topology is no JSON, line 1: write {\"cpu:0\":[[\"mlx5_0\"],[\"mlx5_1\"]]}")]
    [InlineData("[1]", "topology is [1]: write {\"cpu:0\":[[\"mlx5_0\"],[\"mlx5_1\"]]}")]
    [InlineData("{}", "topology is empty: write {\"cpu:0\":[[\"mlx5_0\"],[\"mlx5_1\"]]}")]
    [InlineData("""{"gpu0":[[],[]]}""", "topology has 'gpu0', which is no location: write cpu:N or cuda:N")]
    [InlineData("""{"cpu:01":[[],[]]}""", "topology has 'cpu:01', which is no location: write cpu:N or cuda:N")]
    [InlineData("""{"cpu:0":[[],[]],"cpu:0":[[],[]]}""", "topology has cpu:0 twice")]
    [InlineData("""{"cpu:0":["mlx5_0"]}""",
        "topology[cpu:0] is [\"mlx5_0\"]: write two lists, preferred devices and others")]
    [InlineData("""{"cpu:0":[[],"mlx5_0"]}""", "topology[cpu:0][1] is \"mlx5_0\": write a list of device names")]
    [InlineData("""{"cpu:0":[[7],[]]}""", "topology[cpu:0][0] has 7: write device names")]
    [InlineData("""{"cuda:1":[["mlx5_9"],[]]}""",
        "topology[cuda:1][0] has 'mlx5_9', which is no RDMA device here; there are mlx5_0, mlx5_1")]
    [InlineData("""{"cpu:0":[["mlx5_0"],["mlx5_0"]]}""", "topology[cpu:0] has 'mlx5_0' twice")]
    public void What_is_wrong_is_named(string text, string message)
    {
        var error = TopologyParser.Parse(text, Nics).Error!;
        Assert.Equal((MeshErrorCode.InvalidArgument, "config:topology", message),
            (error.Code, error.Stage, error.Message));
    }
}
